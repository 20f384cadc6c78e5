// The released sizes; the rest of each is the scaling rule's (config.ts).
import type { ConfigSpec } from "./config.ts"

/** Names of the released sizes. */
export type ModelName = "270M" | "450M" | "1.1B" | "3B"

/** A name of a released size, also in another spelling. */
export type SizeName = ModelName | (string & Record<never, never>)

export const releasedSizes: ReadonlyMap<ModelName, ConfigSpec> = new Map([
  ["270M", { name: "OpenELM-270M", layers: 16, modelDim: 1280, headDim: 64 }],
  ["450M", { name: "OpenELM-450M", layers: 20, modelDim: 1536, headDim: 64 }],
  ["1.1B", { name: "OpenELM-1_1B", layers: 28, modelDim: 2048, headDim: 64 }],
  ["3B", { name: "OpenELM-3B", layers: 36, modelDim: 3072, headDim: 128 }],
])

/** Names that `configOf` knows. */
export const modelNames: readonly ModelName[] = [...releasedSizes.keys()]
