// The header of a GGUF file, versions 2 and 3: metadata by key, and of every tensor its name, shape, type
// and place. All that it claims is checked against the file before anything is read by it.
import type { OpenFile } from "../../files/tree.ts"
import { show } from "../../json.ts"
import { type BlockType, blockTypes } from "./blocks.ts"
import { Cursor, CutOff } from "./cursor.ts"

export type MetadataValue = number | bigint | boolean | string | readonly MetadataValue[]
export type Metadata = ReadonlyMap<string, MetadataValue>

export interface GgufTensor {
  readonly name: string
  /** Row-major: the file has the fastest dimension first. */
  readonly shape: readonly number[]
  readonly type: BlockType
  /** From the start of the file. */
  readonly offset: number
  readonly bytes: number
}

export interface GgufHeader {
  readonly version: number
  readonly metadata: Metadata
  readonly tensors: readonly GgufTensor[]
}

const magic = 0x46554747
const versions = [2, 3]
/** Bytes that are read first, and at most: a vocabulary of a million pieces takes less. */
const firstBytes = 1 << 20
const maxBytes = 128 << 20
const maxName = 64
/** Keys, tensors, and values in all lists: more than any model has, and few enough for memory. */
const mostEntries = 1 << 16
const mostValues = 1 << 23
const maxDimensions = 4
const defaultAlignment = 32

export const beginsLikeGguf = (start: Uint8Array): boolean =>
  start.length >= 4 && new DataView(start.buffer, start.byteOffset).getUint32(0, true) === magic

const refuse = (file: OpenFile, why: string): SyntaxError =>
  new SyntaxError(`${file.name} is no whole GGUF file: ${why}. Download or convert it again`)

/** Reads as much of a file as its header takes. Throws SyntaxError or RangeError that names the file. */
export async function readGguf(file: OpenFile): Promise<GgufHeader> {
  for (let length = firstBytes; ; length *= 4) {
    const bytes = new Uint8Array(Math.min(length, file.size, maxBytes))
    await file.readAt(0, bytes)
    try {
      return parse(file, new Cursor(bytes, file.size))
    } catch (error) {
      if (!(error instanceof CutOff)) throw error
      if (bytes.length === file.size) throw refuse(file, "its header is cut off")
      if (bytes.length === maxBytes) throw refuse(file, `a header of more than ${maxBytes} bytes`)
    }
  }
}

function parse(file: OpenFile, at: Cursor): GgufHeader {
  at.u32()
  const version = checkVersion(file, at.u32())
  const tensorCount = at.u64()
  const keyCount = at.u64()
  // The shortest: a name of one letter with no dimensions, a key of one letter with a byte.
  const isTooMany = tensorCount > mostEntries || keyCount > mostEntries
  if (isTooMany || tensorCount * 25 > file.size || keyCount * 14 > file.size) {
    throw refuse(file, `${tensorCount} tensors and ${keyCount} keys in ${file.size} bytes`)
  }
  const metadata = new Map<string, MetadataValue>()
  for (let i = 0; i < keyCount; i++) {
    const key = textAt(file, at)
    if (metadata.has(key)) throw refuse(file, `it has the key ${show(key)} twice`)
    metadata.set(key, valueAt(file, at, key, at.u32(), false))
  }
  const alignment = alignmentIn(file, metadata)
  const infos = Array.from({ length: tensorCount }, () => infoAt(file, at))
  const start = aligned(at.position, alignment)
  return { version, metadata, tensors: placed(file, infos, start, alignment) }
}

function checkVersion(file: OpenFile, version: number): number {
  if (versions.includes(version)) return version
  const swapped = version >>> 24
  if (version % 2 ** 24 === 0 && swapped > 0) {
    throw new RangeError(
      `${file.name} is a big-endian GGUF file (version ${swapped}), expected a little-endian one. ` +
        "Convert the model again",
    )
  }
  throw new RangeError(
    `${file.name} is a GGUF file of version ${version}, expected ${versions.join(" or ")}. ` +
      "Convert the model again",
  )
}

function textAt(file: OpenFile, at: Cursor): string {
  try {
    return at.text()
  } catch (error) {
    if (error instanceof RangeError) throw refuse(file, error.message)
    throw error
  }
}

// ---- Metadata -------------------------------------------------------------------------------------

const types = { string: 8, array: 9 } as const

/** Plain values by their type: their bytes and how they are read. */
const plain: Readonly<Record<number, readonly [number, (at: Cursor) => MetadataValue]>> = {
  0: [1, (at) => at.u8()],
  1: [1, (at) => (at.u8() << 24) >> 24],
  2: [2, (at) => at.u16()],
  3: [2, (at) => (at.u16() << 16) >> 16],
  4: [4, (at) => at.u32()],
  5: [4, (at) => at.u32() | 0],
  6: [4, (at) => at.f32()],
  7: [1, (at) => at.u8() !== 0],
  10: [8, (at) => at.big(false)],
  11: [8, (at) => at.big(true)],
  12: [8, (at) => at.f64()],
}

function valueAt(
  file: OpenFile,
  at: Cursor,
  key: string,
  type: number,
  isInside: boolean,
): MetadataValue {
  if (type === types.string) return textAt(file, at)
  const read = plain[type]?.[1]
  if (read) return read(at)
  if (type !== types.array || isInside) {
    throw refuse(
      file,
      `${show(key)} has values of type ${type}, expected 0 to 12, no list of lists`,
    )
  }
  const each = at.u32()
  const count = at.u64()
  const bytes = each === types.string ? 8 : (plain[each]?.[0] ?? 1)
  if (count * bytes > file.size || at.count(count) > mostValues) {
    throw refuse(file, `${show(key)} has ${count} values, with those before it more than there are`)
  }
  const list: MetadataValue[] = []
  for (let i = 0; i < count; i++) list.push(valueAt(file, at, key, each, true))
  return list
}

function alignmentIn(file: OpenFile, metadata: Metadata): number {
  const alignment = metadata.get("general.alignment") ?? defaultAlignment
  const isPower = typeof alignment === "number" && Number.isInteger(Math.log2(alignment))
  if (isPower && alignment <= 1 << 20) return alignment
  throw refuse(file, `general.alignment is ${show(alignment)}, expected a power of two`)
}

const aligned = (at: number, alignment: number): number => Math.ceil(at / alignment) * alignment

// ---- Tensors --------------------------------------------------------------------------------------

/** A tensor as the file lists it. */
interface Info extends Omit<GgufTensor, "bytes"> {
  /** Bytes of its data. */
  readonly bytes: number
}

function infoAt(file: OpenFile, at: Cursor): Info {
  const name = textAt(file, at)
  if (name.length >= maxName) throw refuse(file, `the name ${show(name)} is longer than 63 bytes`)
  const dimensions = at.u32()
  if (dimensions > maxDimensions) {
    throw refuse(file, `${show(name)} has ${dimensions} dimensions, expected at most 4`)
  }
  const shape = Array.from({ length: dimensions }, () => at.u64()).reverse()
  const id = at.u32()
  const type = blockTypes.get(id)
  const offset = at.u64()
  if (!type) {
    const known = [...blockTypes.values()].map((each) => each.name).join(", ")
    throw refuse(file, `${show(name)} is of the type ${id}, expected one of ${known}`)
  }
  const count = shape.reduce((a, b) => a * b, 1)
  if (!Number.isSafeInteger(count * type.bytes)) {
    throw refuse(file, `${show(name)} has the shape ${show(shape)}, too large`)
  }
  if ((shape.at(-1) ?? 1) % type.values !== 0) {
    throw refuse(
      file,
      `${show(name)} has rows of ${shape.at(-1)} numbers, ${type.name} has blocks of ${type.values}`,
    )
  }
  return { name, shape, type, offset, bytes: (count / type.values) * type.bytes }
}

/** Each tensor lies after the one before it, aligned; the file holds them all. */
function placed(
  file: OpenFile,
  infos: readonly Info[],
  start: number,
  alignment: number,
): GgufTensor[] {
  const names = new Set<string>()
  let expected = 0
  return infos.map((info) => {
    const { name, offset, bytes } = info
    if (names.has(name)) throw refuse(file, `it has the tensor ${show(name)} twice`)
    names.add(name)
    if (offset !== expected) {
      throw refuse(file, `${show(name)} is at byte ${offset} of the data, expected ${expected}`)
    }
    if (start + offset + bytes > file.size) {
      const needed = `takes ${start + offset + bytes} bytes of a file of ${file.size}`
      throw refuse(file, `${show(name)} ${needed}, it may be cut off`)
    }
    expected = aligned(offset + bytes, alignment)
    return { ...info, offset: start + offset }
  })
}
