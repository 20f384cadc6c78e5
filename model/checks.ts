// What a model is asked for, checked before anything is allocated; and errors that say what to do.
import { type Backend, checkWhole } from "../engine/index.ts"
import { bytesText } from "./amount.ts"
import type { DecoderConfig } from "./architecture.ts"
import { ContextLengthError, checkToken, isList } from "./generate/ids.ts"
import { type CacheOptions, cacheDTypes } from "./generate/state.ts"
import type { ModelOptions } from "./options.ts"
import { type WeightDType, weightBytes, weightDTypes } from "./weights/layout.ts"

/** Options with defaults. */
export interface ModelSettings extends CacheOptions {
  readonly backend: Backend
  readonly dtype: WeightDType
}

export function checkModelOptions(config: DecoderConfig, options: ModelOptions): ModelSettings {
  const { backend, dtype = "f32", capacity = config.maxContext } = options
  if (typeof backend?.prepare !== "function") {
    throw new TypeError('a model needs a backend: { backend: await open("wasm") }')
  }
  if (!weightDTypes.includes(dtype)) {
    throw new RangeError(
      `dtype must be one of ${weightDTypes.join(", ")}, got ${JSON.stringify(dtype)}`,
    )
  }
  const { maxContext } = config
  checkWhole("capacity", capacity, 1, maxContext, ` to the context of ${maxContext}`)
  const { cache = "f32" } = options
  if (!cacheDTypes.includes(cache)) {
    throw new RangeError(
      `cache must be one of ${cacheDTypes.join(", ")}, got ${JSON.stringify(cache)}`,
    )
  }
  if (cache === "q8" && config.headDim % 4 !== 0) {
    throw new RangeError(
      `a q8 cache needs heads of a multiple of 4 numbers, ${config.name} has ${config.headDim}: try f16`,
    )
  }
  return { backend, dtype, capacity, cache }
}

/** An allocation error, with the dtypes in which the model would fit the machine. */
export function explained(error: unknown, config: DecoderConfig, dtype: WeightDType): unknown {
  const limit = (error as { memoryLimit?: number }).memoryLimit
  if (limit === undefined) return error
  const sizes = weightDTypes.map((name) => ({ name, bytes: weightBytes(config, name) }))
  const fitting = sizes.filter(({ bytes }) => bytes < 0.95 * limit).map(({ name }) => name)
  const advice = fitting.length > 0 ? `Use dtype ${fitting.join(" or ")}` : "No dtype fits"
  const list = sizes.map(({ name, bytes }) => `${name} ${bytesText(bytes)}`).join(", ")
  return new RangeError(
    `${config.name} in ${dtype} takes ${bytesText(weightBytes(config, dtype))} of weights, more than is ` +
      `left of the ${bytesText(limit)} that this machine can give. ${advice} (${list})`,
    { cause: error },
  )
}

export function checkBatch(
  ids: readonly (readonly number[])[],
  config: DecoderConfig,
): [B: number, T: number] {
  if (!Array.isArray(ids) || !ids.every((row) => isList(row))) {
    throw new TypeError("logits: expected an array of rows of token ids, such as [[1, 2, 3]]")
  }
  const T = ids[0]?.length ?? 0
  if (T === 0) throw new RangeError("logits: expected one or more rows of token ids, got none")
  if (T > config.maxContext) {
    throw new ContextLengthError(`logits: ${T} tokens exceed the context of ${config.maxContext}`, {
      promptTokens: T,
      context: config.maxContext,
    })
  }
  for (const row of ids) {
    if (row.length !== T) {
      throw new RangeError(
        `logits: rows must be of one length, got ${T} and ${row.length}. Pad them`,
      )
    }
    for (const id of row) checkToken(id, config)
  }
  return [ids.length, T]
}
