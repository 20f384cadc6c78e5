// The families of decoders that this engine runs: a line each.
import { kindOf } from "../../engine/index.ts"
import type { Architecture, DecoderConfig } from "../architecture.ts"
import { show } from "../json.ts"
import { gptNeox } from "./gpt_neox.ts"
import { llama } from "./llama.ts"
import { olmo } from "./olmo.ts"
import { openelm } from "./openelm.ts"
import { opt } from "./opt.ts"

const architectures: readonly Architecture[] = [openelm, olmo, llama, gptNeox, opt]

/** The family of a config. Throws TypeError for what is no config, RangeError for others' families. */
export function architectureOf(config: Pick<DecoderConfig, "modelType">): Architecture {
  const found = architectures.find(({ modelType }) => modelType === config?.modelType)
  if (found) return found
  throw new RangeError(
    `${kindOf(config)} is no config of a known family. Known: ${architectures.map((a) => a.modelType).join(", ")}`,
  )
}

/** Models of all families but OpenELM by the names that they are published under. */
export const publishedFields: ReadonlyMap<string, Record<string, unknown>> = new Map(
  architectures.flatMap(({ modelType, published = {} }) =>
    Object.entries(published).map(([name, fields]) => [
      name,
      { model_type: modelType, model_name: name, ...fields },
    ]),
  ),
)

/** What a config.json would say of tensors that come without one; undefined where no family can tell. */
export function inferredConfig(
  shapes: ReadonlyMap<string, readonly number[]>,
  source: string,
): Record<string, unknown> | undefined {
  for (const family of architectures) {
    const found = family.inferred?.(shapes, source)
    if (found) return found
  }
  return undefined
}

/** The family that a config.json names; one without `model_type` is OpenELM's. Throws RangeError that
 *  names `source` for others. */
export function architectureNamed(modelType: unknown, source: string): Architecture {
  const wanted = modelType ?? openelm.modelType
  const found = architectures.find((family) => family.modelType === wanted)
  if (found) return found
  const known = architectures.map((family) => show(family.modelType)).join(" or ")
  throw new RangeError(
    `${source}: model_type is ${show(modelType)}, expected ${known}. Use another model`,
  )
}
