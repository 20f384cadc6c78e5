// config.json of a model of any family, and what follows from a config: its weights and how many
// numbers they hold. What the fields are is each family's (architectures/).
import { checkObject, kindOf } from "../engine/index.ts"
import type { DecoderConfig, WeightKind } from "./architecture.ts"
import { architectureNamed, architectureOf, publishedFields } from "./architectures/index.ts"
import { configOfSize } from "./architectures/openelm/config.ts"
import { modelNames } from "./architectures/openelm/sizes.ts"
import { formatOf, type QuantizedFormat } from "./checkpoints/quantized_format.ts"
import { isObject, show } from "./json.ts"

/**
 * The config of a parsed config.json; unknown fields are left alone, `quantization` is checked but not
 * kept (checkpoints/quantized_format.ts). Throws TypeError or RangeError that names `source` and the field.
 */
export function parseConfig(json: unknown, source: string): DecoderConfig {
  if (!isObject(json)) throw new TypeError(`${source} is ${show(json)}, expected a JSON object`)
  const file = Object.fromEntries(Object.entries(json).filter(([, v]) => v !== null))
  const config = architectureNamed(file.model_type, source).parse(file, source)
  formatOf(file, source)
  return config
}

/** The config as its family's config.json, an object for JSON.stringify; `parseConfig` reads it back. */
export const configJson = (
  config: DecoderConfig,
  format?: QuantizedFormat,
): Record<string, unknown> => ({
  ...architectureOf(config).toJson(config),
  ...(format && { quantization: { format } }),
})

/** Names that `publishedConfig` knows. */
export const publishedNames: readonly string[] = [...modelNames, ...publishedFields.keys()]

/** The config of a published model by its name, in any case: a released size of OpenELM ("270M"), or a model
 *  of another family ("Pythia-1.4B"). Throws RangeError for other names, TypeError for what is no name. */
export function publishedConfig(name: string): DecoderConfig {
  if (typeof name !== "string") {
    throw new TypeError(
      `publishedConfig: a model's name is a text such as "270M", got ${kindOf(name)}`,
    )
  }
  const size = configOfSize(name)
  if (size) return size
  const wanted = name.replace("_", ".").toLowerCase()
  const found = [...publishedFields].find(([known]) => known.toLowerCase() === wanted)
  if (found) return parseConfig(found[1], found[0])
  throw new RangeError(`No model ${show(name)}. Known models: ${publishedNames.join(", ")}`)
}

/** Throws TypeError for what is no whole config. */
export function checkConfig(name: string, config: DecoderConfig): void {
  checkObject(name, config)
  if (Array.isArray(config.queryHeads) && Array.isArray(config.ffnDims)) return
  throw new TypeError(`${name} must be a config as scaledConfig or configOf give it`)
}

interface TensorShape {
  readonly shape: readonly number[]
  readonly kind: WeightKind
}

/** Name, shape and kind of every weight, in the order of the family's state dict. */
export const tensorShapes = (config: DecoderConfig): Map<string, TensorShape> =>
  new Map(
    architectureOf(config)
      .weights(config)
      .map(({ name, ...rest }) => [name, rest]),
  )

/** How many numbers the weights hold; what is shared counts once. */
export function parameterCount(config: DecoderConfig): number {
  checkConfig("parameterCount: the config", config)
  const sizes = [...tensorShapes(config).values()].map(({ shape }) => shape.reduce((a, b) => a * b))
  return sizes.reduce((a, b) => a + b, 0)
}
