// The safetensors header: 8 bytes little-endian length, then JSON that gives every tensor a dtype,
// a shape and a range of the data that follows. Reading bytes is left to safetensors.ts.
import type { OpenFile } from "../files/tree.ts"
import { isObject, parseJson, show } from "../json.ts"

export const itemBytes = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const

/** Dtypes of weights by the engine's names and by the format's. */
export const fileDTypes = { f32: "F32", f16: "F16", bf16: "BF16" } as const
export type PlainDType = keyof typeof fileDTypes

/** The engine's name of a dtype, where weights may have it. */
export const engineDType = (dtype: FileDType): PlainDType | undefined =>
  plainDTypes.find((name) => fileDTypes[name] === dtype)

export const plainDTypes = Object.keys(fileDTypes) as readonly PlainDType[]

/** Element types by the format's names. */
export type FileDType = keyof typeof itemBytes

export interface TensorEntry {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  /** Where the data begins, from the start of the file. */
  readonly offset: number
  readonly bytes: number
}

const maxHeaderBytes = 100_000_000

function refuse(path: string, reason: string): SyntaxError {
  return new SyntaxError(
    `${path} is not a valid safetensors file: ${reason}. Download or write it again`,
  )
}

/** A length of a possible header in eight bytes, and whether { follows. */
async function beginning({ readAt }: OpenFile): Promise<{ length: number; isObject: boolean }> {
  const first = new Uint8Array(9)
  await readAt(0, first)
  const length = Number(new DataView(first.buffer).getBigUint64(0, true))
  return { length, isObject: first[8] === 123 }
}

/** Whether a file is of this format, whole or damaged. */
export async function beginsLikeHeader(file: OpenFile): Promise<boolean> {
  if (file.size < 9) return false
  const { length, isObject } = await beginning(file)
  return isObject && length <= maxHeaderBytes
}

/**
 * Checks everything that a file claims about its tensors, before any is read.
 * Throws SyntaxError that names the path and the tensor.
 */
export async function readHeader(file: OpenFile) {
  const { name: path, size } = file
  if (size < 10) throw refuse(path, `it has ${size} bytes, too few for a header`)
  const { length, isObject: isJson } = await beginning(file)
  if (length > maxHeaderBytes) {
    throw refuse(path, `a header of ${length} bytes, at most ${maxHeaderBytes} are allowed`)
  }
  if (8 + length > size) {
    throw refuse(path, `a header of ${length} bytes in a file of ${size}, it may be cut off`)
  }
  if (length < 2 || !isJson) throw refuse(path, "the header does not begin with {")
  const text = new Uint8Array(length)
  await file.readAt(8, text)
  const header = parseJson(text, `Header of ${path}`, 4)
  if (!isObject(header)) throw refuse(path, "the header is not a JSON object")
  const tensors = new Map<string, TensorEntry>()
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.set(name, parseEntry(path, name, entry, 8 + length))
  }
  checkLayout(path, tensors, 8 + length, size)
  return { tensors, metadata: parseMetadata(path, header) }
}

function parseMetadata(path: string, header: Readonly<Record<string, unknown>>) {
  const found = Object.hasOwn(header, "__metadata__") ? header.__metadata__ : {}
  if (!isObject(found)) throw refuse(path, `__metadata__ is ${show(found)}, expected an object`)
  const metadata = new Map<string, string>()
  for (const [key, value] of Object.entries(found)) {
    if (typeof value !== "string") {
      throw refuse(path, `metadata ${show(key)} is ${show(value)}, expected text`)
    }
    metadata.set(key, value)
  }
  return metadata
}

function parseEntry(path: string, name: string, entry: unknown, dataStart: number): TensorEntry {
  const at = `tensor ${show(name)}`
  if (!isObject(entry)) throw refuse(path, `${at} is ${show(entry)}, expected an object`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (!isFileDType(dtype)) {
    const known = Object.keys(itemBytes).join(", ")
    throw refuse(path, `${at} has dtype ${show(dtype)}, expected one of ${known}`)
  }
  if (!isSizes(shape)) throw refuse(path, `${at} has shape ${show(shape)}, expected whole numbers`)
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw refuse(path, `${at} has data_offsets ${show(offsets)}, expected [begin, end]`)
  }
  const [begin, end] = offsets as [number, number]
  const bytes = bytesOf(dtype, shape)
  if (!Number.isSafeInteger(bytes)) throw refuse(path, `${at} has shape ${show(shape)}, too large`)
  if (end - begin !== bytes) {
    const expected = `expected ${bytes} bytes for ${dtype} ${show(shape)}`
    throw refuse(path, `${at} has data_offsets ${show(offsets)}, ${expected}`)
  }
  return { dtype, shape, offset: dataStart + begin, bytes }
}

/** The tensors must cover the data exactly: no overlap, no gap, nothing left over. */
function checkLayout(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  size: number,
): void {
  const ordered = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)
  let end = dataStart
  for (const [name, { offset, bytes }] of ordered) {
    if (offset !== end) {
      const what = offset < end ? "overlaps another" : "leaves a gap before it"
      throw refuse(path, `tensor ${show(name)} at data byte ${offset - dataStart} ${what}`)
    }
    end = offset + bytes
    if (end > size) {
      const missing = `needs the file to be ${end} bytes long, it is ${size} and may be cut off`
      throw refuse(path, `tensor ${show(name)} ${missing}`)
    }
  }
  if (end < size) throw refuse(path, `${size - end} bytes follow the last tensor`)
}

const isFileDType = (dtype: unknown): dtype is FileDType =>
  typeof dtype === "string" && Object.hasOwn(itemBytes, dtype)

const isSizes = (list: unknown): list is number[] =>
  Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0)

/** Bytes of a tensor; not a safe integer where any partial product is not. */
export function bytesOf(dtype: FileDType, shape: readonly number[]): number {
  let bytes: number = itemBytes[dtype]
  for (const n of shape) {
    bytes *= n
    if (!Number.isSafeInteger(bytes)) return Number.NaN
  }
  return bytes
}

/** Header length and header, in the given order of tensors, padded so that the data is aligned. */
export function encodeHeader(
  path: string,
  tensors: readonly (readonly [string, Pick<TensorEntry, "dtype" | "shape">])[],
  metadata: Readonly<Record<string, string>> | undefined,
): Uint8Array {
  const entries: [string, unknown][] = metadata ? [["__metadata__", metadata]] : []
  let end = 0
  for (const [name, { dtype, shape }] of tensors) {
    const bytes = isFileDType(dtype) && isSizes(shape) ? bytesOf(dtype, shape) : Number.NaN
    if (!Number.isSafeInteger(end + bytes) || name === "__metadata__") {
      throw new RangeError(`${path}: cannot write ${show(name)} as ${show(dtype)} ${show(shape)}`)
    }
    entries.push([name, { dtype, shape, data_offsets: [end, end + bytes] }])
    end += bytes
  }
  // JSON.stringify of fromEntries keeps a tensor named __proto__ as an ordinary key.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const length = Math.ceil(json.length / 8) * 8
  if (length > maxHeaderBytes) {
    throw new RangeError(`${path}: a header of ${length} bytes. Write fewer tensors to one file`)
  }
  const header = new Uint8Array(8 + length).fill(32)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(json, 8)
  return header
}
