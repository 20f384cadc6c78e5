// The quantized formats that a folder may hold: their field in config.json and their mark in the
// metadata of model.safetensors. What the bytes mean is said in ops/product/quantized_pack.ts.
import { blockBytes } from "../../ops/index.ts"
import { isObject, show } from "../json.ts"

/** Blocks of 8 or 4 bits with their scales. */
export type QuantizedFormat = keyof typeof blockBytes
export const quantizedFormats = Object.keys(blockBytes) as readonly QuantizedFormat[]

export const isQuantized = (name: unknown): name is QuantizedFormat =>
  typeof name === "string" && Object.hasOwn(blockBytes, name)

/** `format` in the metadata of a file; the number goes up when the bytes come to mean another. */
export const markOf = (format: QuantizedFormat): string => `openelm-${format}/1`

/** Whether a mark is one of these, or of a version that is not known. */
export const isMark = (mark: string | undefined): boolean => mark?.startsWith("openelm-") ?? false

type Fields = Readonly<Record<string, unknown>>

const quantizationOf = (config: Fields): unknown =>
  Object.hasOwn(config, "quantization") ? config.quantization : undefined

/** The format that a config.json names, undefined where it names none of these. */
export function formatIn(config: Fields): QuantizedFormat | undefined {
  const given = quantizationOf(config)
  const format =
    isObject(given) && Object.keys(given).join() === "format" ? given.format : undefined
  return isQuantized(format) ? format : undefined
}

/** The same. Throws RangeError for others than none. */
export function formatOf(config: Fields, source: string): QuantizedFormat | undefined {
  const given = quantizationOf(config)
  const format = formatIn(config)
  if (format !== undefined || given === undefined || given === null) return format
  const expected = quantizedFormats.map((name) => `{"format": "${name}"}`).join(" or ")
  throw new RangeError(
    `${source}: quantization is ${show(JSON.stringify(given))}, expected ${expected}. ` +
      "Use another model",
  )
}
