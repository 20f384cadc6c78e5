// Members of a zip file, as PyTorch and others write them: stored or deflated, also with the fields of
// zip64. The directory at its end is not trusted: no member overlaps another or is there twice, and each
// is what its own header says.
import type { OpenFile } from "../../files/tree.ts"
import { show } from "../../json.ts"
import { crc32 } from "./crc.ts"
import { inflating } from "./inflate.ts"

export interface Member {
  readonly name: string
  readonly size: number
  /** Fills `target` from byte `start` of what was packed. Throws SyntaxError where it is damaged. */
  read(start: number, target: Uint8Array): Promise<void>
}

/** What the directory says of a member. */
interface Entry {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly compressed: number
  readonly size: number
  /** Of its own header. */
  readonly offset: number
  /** Where the next one begins. */
  end: number
}

const signatures = { member: 0x04034b50, entry: 0x02014b50, end: 0x06054b50 } as const
const signatures64 = { end: 0x06064b50, locator: 0x07064b50 } as const
const lengths = { member: 30, entry: 46, end: 22, end64: 56, locator: 20 } as const
const methods = { stored: 0, deflated: 8 } as const
const longestComment = 0xffff
const maxDirectory = 64 << 20
/** Members up to this size are checked against their sum when they are first read. */
const checkedBytes = 4 << 20
/** No deflated byte becomes more. */
const mostInflation = 1032

export const beginsLikeZip = (start: Uint8Array): boolean => wordAt(start, 0) === signatures.member

const wordAt = (bytes: Uint8Array, at: number): number => viewOf(bytes).getUint32(at, true)
const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

const refuse = (file: OpenFile, why: string): SyntaxError =>
  new SyntaxError(`${file.name} is no whole zip file: ${why}. Download or write it again`)

/** The members of a file by their names. Throws SyntaxError for what is no zip file, or a damaged one. */
export async function membersOf(file: OpenFile): Promise<Map<string, Member>> {
  const { start, size, count } = await directoryOf(file)
  if (size > maxDirectory || count > size / lengths.entry) {
    throw refuse(file, `its directory of ${count} members takes ${size} bytes`)
  }
  const bytes = new Uint8Array(size)
  await file.readAt(start, bytes)
  const entries: Entry[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    const { entry, length } = entryAt(file, bytes, at)
    entries.push(entry)
    at += length
  }
  return new Map(laidOut(file, entries, start).map((entry) => [entry.name, memberOf(file, entry)]))
}

// ---- The directory --------------------------------------------------------------------------------

interface Directory {
  readonly start: number
  readonly size: number
  readonly count: number
}

/** Where the last record that may be the end of the directory says that this is. */
async function directoryOf(file: OpenFile): Promise<Directory> {
  const length = Math.min(file.size, lengths.end + longestComment)
  const tail = new Uint8Array(length)
  await file.readAt(file.size - length, tail)
  const view = viewOf(tail)
  for (let at = length - lengths.end; at >= 0; at--) {
    if (view.getUint32(at, true) !== signatures.end) continue
    const end = file.size - length + at
    const found = (await directory64(file, end)) ?? {
      count: view.getUint16(at + 10, true),
      size: view.getUint32(at + 12, true),
      start: view.getUint32(at + 16, true),
    }
    if (found.start + found.size <= end) return found
  }
  throw refuse(file, "it has no directory at its end, it may be cut off")
}

/** The same of a file with more or larger members than two or four bytes say. */
async function directory64(file: OpenFile, end: number): Promise<Directory | undefined> {
  const at = end - lengths.locator
  if (at < lengths.end64) return undefined
  const locator = new Uint8Array(lengths.locator)
  await file.readAt(at, locator)
  const view = viewOf(locator)
  if (view.getUint32(0, true) !== signatures64.locator) return undefined
  const record = new Uint8Array(lengths.end64)
  const place = Number(view.getBigUint64(8, true))
  if (place + lengths.end64 > at)
    throw refuse(file, "the end of its directory is not where it says")
  await file.readAt(place, record)
  const found = viewOf(record)
  if (found.getUint32(0, true) !== signatures64.end) {
    throw refuse(file, "the end of its directory is not where it says")
  }
  return {
    count: Number(found.getBigUint64(32, true)),
    size: Number(found.getBigUint64(40, true)),
    start: Number(found.getBigUint64(48, true)),
  }
}

function entryAt(file: OpenFile, bytes: Uint8Array, at: number): { entry: Entry; length: number } {
  const view = viewOf(bytes)
  if (at + lengths.entry > bytes.length || view.getUint32(at, true) !== signatures.entry) {
    throw refuse(file, `its directory has no entry at byte ${at}`)
  }
  const nameLength = view.getUint16(at + 28, true)
  const extraLength = view.getUint16(at + 30, true)
  const length = lengths.entry + nameLength + extraLength + view.getUint16(at + 32, true)
  if (at + length > bytes.length) throw refuse(file, "its directory ends inside of an entry")
  const from = at + lengths.entry
  const name = new TextDecoder().decode(bytes.subarray(from, from + nameLength))
  const method = view.getUint16(at + 10, true)
  if (view.getUint16(at + 8, true) & 1) throw refuse(file, `${show(name)} is encrypted`)
  if (method !== methods.stored && method !== methods.deflated) {
    throw refuse(file, `${show(name)} is packed by method ${method}, expected 0 or 8`)
  }
  const extra = bytes.subarray(from + nameLength, from + nameLength + extraLength)
  const sizes = [at + 24, at + 20, at + 42].map((place) => view.getUint32(place, true))
  const [size = 0, compressed = 0, offset = 0] = widened(sizes, extra)
  const crc = view.getUint32(at + 16, true)
  return { entry: { name, method, crc, compressed, size, offset, end: 0 }, length }
}

/** Sizes that do not fit four bytes are all ones there, and follow in the extra field of zip64. */
function widened(sizes: readonly number[], extra: Uint8Array): number[] {
  const view = viewOf(extra)
  const wide: number[] = []
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue
    const end = Math.min(extra.length, at + 4 + view.getUint16(at + 2, true))
    for (let i = at + 4; i + 8 <= end; i += 8) wide.push(Number(view.getBigUint64(i, true)))
    break
  }
  return sizes.map((size) => (size === 0xffffffff ? (wide.shift() ?? size) : size))
}

/** The entries in the order of their places, each of which ends before the next begins. */
function laidOut(file: OpenFile, entries: Entry[], directory: number): Entry[] {
  const names = new Set<string>()
  entries.sort((a, b) => a.offset - b.offset)
  for (const [i, entry] of entries.entries()) {
    const { name, method, offset, compressed, size } = entry
    entry.end = entries[i + 1]?.offset ?? directory
    const packed = method === methods.stored ? size : mostInflation * compressed
    if (names.has(name)) throw refuse(file, `it has ${show(name)} twice`)
    names.add(name)
    if (size > packed || (method === methods.stored && size !== compressed)) {
      throw refuse(file, `${show(name)} has ${size} bytes, packed in ${compressed}`)
    }
    if (offset + lengths.member + compressed <= entry.end) continue
    throw refuse(file, `${show(name)} reaches into what follows it, or the file is cut off`)
  }
  return entries
}

// ---- Members --------------------------------------------------------------------------------------

function memberOf(file: OpenFile, entry: Entry): Member {
  const { name, method, size, compressed } = entry
  let opened: Promise<Member["read"]> | undefined
  const open = async (): Promise<Member["read"]> => {
    const offset = await dataOf(file, entry)
    const read: Member["read"] =
      method === methods.deflated
        ? inflating({ file, offset, compressed, size })
        : (start, target) => file.readAt(offset + start, target)
    if (size <= checkedBytes) await checkSum(file, entry, read)
    return read
  }
  return {
    name,
    size,
    async read(start, target) {
      if (start + target.length > size) {
        throw refuse(file, `${show(name)} ends before byte ${start + target.length}`)
      }
      opened ??= open()
      await (await opened)(start, target)
    },
  }
}

/** Where a member's data begins, after its own header. */
async function dataOf(file: OpenFile, { name, offset, compressed, end }: Entry): Promise<number> {
  const header = new Uint8Array(lengths.member)
  await file.readAt(offset, header)
  const view = viewOf(header)
  const nameLength = view.getUint16(26, true)
  const start = offset + lengths.member + nameLength + view.getUint16(28, true)
  if (view.getUint32(0, true) !== signatures.member || start + compressed > end) {
    throw refuse(file, `${show(name)} is not where its directory says`)
  }
  const own = new Uint8Array(nameLength)
  await file.readAt(offset + lengths.member, own)
  if (new TextDecoder().decode(own) === name) return start
  throw refuse(file, `${show(name)} has another name in its own header`)
}

async function checkSum(file: OpenFile, { name, size, crc }: Entry, read: Member["read"]) {
  const bytes = new Uint8Array(size)
  await read(0, bytes)
  if (crc32(bytes) === crc) return
  throw refuse(file, `${show(name)} does not have the sum that its directory says`)
}
