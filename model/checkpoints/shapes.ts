// The config of weights that come without a config.json, such as CoreNet's: what the sizes of the tensors say.
import { inferredConfig } from "../architectures/index.ts"
import { show } from "../json.ts"
import type { Sourced, StoredTensor } from "./checkpoint.ts"
import { isBuffer, plainName } from "./names.ts"

/** Throws RangeError that names `source` where they are of no model that is known. */
export function configOfShapes(
  tensors: ReadonlyMap<string, StoredTensor>,
  source: string,
): Sourced {
  const shapes = new Map<string, readonly number[]>()
  for (const [name, { shape }] of tensors) if (!isBuffer(name)) shapes.set(plainName(name), shape)
  const value = inferredConfig(shapes, source)
  const [stem] = (source.split(/[\\/]/).at(-1) as string).split(/\.\w+(?:\?.*)?$/)
  if (value) return { value: { model_name: stem || "OpenELM", ...value }, source }
  throw new RangeError(
    `${source} holds ${show([...shapes.keys()])}, no weights of a model that is known here. ` +
      "Put its config.json beside it, or use another file",
  )
}
