// Writes files as torch.save does, of any protocol, stored or deflated, right or wrong on purpose.
import { deflateRawSync } from "node:zlib"
import { crc32 } from "../model/checkpoints/torch/crc.ts"

export interface Written {
  readonly shape: readonly number[]
  readonly strides?: readonly number[]
  readonly offset?: number
  readonly type?: string
  readonly key: string
  /** Numbers that the storage is said to have. */
  readonly count: number
}

const ascii = (text: string): Buffer => Buffer.from(text, "latin1")

function u32(n: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n)
  return bytes
}

function long(n: number): Buffer {
  if (n >= 0 && n < 256) return Buffer.from([0x4b, n])
  if (n >= 0 && n < 2 ** 31) return Buffer.concat([ascii("J"), u32(n)])
  const digits = Buffer.alloc(8)
  digits.writeBigInt64LE(BigInt(n))
  return Buffer.concat([Buffer.from([0x8a, 8]), digits])
}

/** A text, a name of a module, numbers, in the codes of a protocol. */
function codesOf(protocol: number) {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value)
    if (protocol < 4) return Buffer.concat([ascii("X"), u32(bytes.length), bytes])
    return Buffer.concat([Buffer.from([0x8c, bytes.length]), bytes, Buffer.from([0x94])])
  }
  const name = (module: string, called: string): Buffer =>
    protocol < 4
      ? ascii(`c${module}\n${called}\n`)
      : Buffer.concat([text(module), text(called), Buffer.from([0x93, 0x94])])
  const tuple = (...items: readonly Buffer[]): Buffer =>
    Buffer.concat([ascii("("), ...items, ascii("t")])
  const numbers = (list: readonly number[]): Buffer => tuple(...list.map(long))
  return { text, name, tuple, numbers }
}

function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
}

/** A pickle of a dict of tensors. */
export function pickled(
  tensors: Readonly<Record<string, Written>>,
  protocol = 2,
  hasState = false,
): Buffer {
  const { text, name, tuple, numbers } = codesOf(protocol)
  const dict = Buffer.concat([name("collections", "OrderedDict"), ascii(")R")])
  const items = Object.entries(tensors).map(([key, tensor]) => {
    const { shape, strides = contiguous(shape), offset = 0, type = "FloatStorage" } = tensor
    const storage = [text("storage"), name("torch", type), text(tensor.key), text("cpu")]
    return Buffer.concat([
      text(key),
      name("torch._utils", "_rebuild_tensor_v2"),
      tuple(
        Buffer.concat([tuple(...storage, long(tensor.count)), ascii("Q")]),
        ...[long(offset), numbers(shape), numbers(strides), Buffer.from([0x89]), dict],
      ),
      ascii("R"),
    ])
  })
  // What a module's state_dict leaves at its dict: an attribute with the versions of its parts.
  const versions = [ascii("}"), text("_metadata"), dict, text(""), ascii("}ss"), ascii("b")]
  const state = hasState ? Buffer.concat(versions) : ascii("")
  const body = Buffer.concat([dict, ascii("("), ...items, ascii("u"), state, ascii(".")])
  const head = [Buffer.from([0x80, protocol])]
  if (protocol > 3) {
    const frame = Buffer.alloc(9)
    frame[0] = 0x95
    frame.writeBigUInt64LE(BigInt(body.length), 1)
    head.push(frame)
  }
  return Buffer.concat([...head, body])
}

interface Packing {
  readonly deflate?: boolean
  /** Adds 1 to each sum. */
  readonly wrongSums?: boolean
  /** After the end. */
  readonly junk?: number
  /** Sizes and places in the fields that are wide enough for more than four gigabytes. */
  readonly wide?: boolean
}

/** A zip file of members by name. */
export function zipped(
  members: ReadonlyArray<readonly [string, Uint8Array]>,
  { deflate = false, wrongSums = false, junk = 0, wide = false }: Packing = {},
): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, bytes] of members) {
    const packed = deflate ? deflateRawSync(bytes) : Buffer.from(bytes)
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt16LE(deflate ? 8 : 0, 4)
    fields.writeUInt32LE((crc32(bytes) + (wrongSums ? 1 : 0)) >>> 0, 10)
    fields.writeUInt32LE(packed.length, 14)
    fields.writeUInt32LE(bytes.length, 18)
    fields.writeUInt16LE(name.length, 22)
    const own = Buffer.concat([ascii("PK\x03\x04"), fields, ascii(name), packed])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(at, 10)
    const extra = wide ? wideFields(fields, rest, [bytes.length, packed.length, at]) : ascii("")
    const head = ascii("PK\x01\x02\x14\x00")
    directory.push(Buffer.concat([head, fields, rest, ascii(name), extra]))
    parts.push(own)
    at += own.length
  }
  const all = Buffer.concat(directory)
  const end = endOf(members.length, all.length, at, wide)
  return Buffer.concat([...parts, all, end, Buffer.alloc(junk, 7)])
}

/** Numbers of eight bytes. */
function u64s(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 * numbers.length)
  for (const [i, n] of numbers.entries()) bytes.writeBigUInt64LE(BigInt(n), 8 * i)
  return bytes
}

/** The extra field of wide sizes, in place of those of four bytes. */
function wideFields(fields: Buffer, rest: Buffer, sizes: readonly number[]): Buffer {
  fields.writeUInt32LE(0xffffffff, 14)
  fields.writeUInt32LE(0xffffffff, 18)
  rest.writeUInt32LE(0xffffffff, 10)
  // Another extra field first, which is passed over.
  const extra = Buffer.concat([ascii("\x55\x54\x02\x00ab\x01\x00\x18\x00"), u64s(...sizes)])
  fields.writeUInt16LE(extra.length, 24)
  return extra
}

function endOf(count: number, bytes: number, start: number, wide: boolean): Buffer {
  const end = Buffer.alloc(18)
  end.writeUInt16LE(wide ? 0xffff : count, 4)
  end.writeUInt16LE(wide ? 0xffff : count, 6)
  end.writeUInt32LE(wide ? 0xffffffff : bytes, 8)
  end.writeUInt32LE(wide ? 0xffffffff : start, 12)
  const plain = Buffer.concat([ascii("PK\x05\x06"), end])
  if (!wide) return plain
  const versions = Buffer.alloc(12)
  const own = [ascii("PK\x06\x06"), u64s(44), versions, u64s(count, count, bytes, start)]
  const locator = [ascii("PK\x06\x07"), u32(0), u64s(start + bytes), u32(1)]
  return Buffer.concat([...own, ...locator, plain])
}
