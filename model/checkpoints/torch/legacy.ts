// PyTorch's files before 1.6: four pickles (a magic number, a version, the system, the value), one with the
// names of the storages, then those, each after its number of elements.
import type { OpenFile } from "../../files/tree.ts"
import { show } from "../../json.ts"
import { maxPickle, type TorchFile } from "./archive.ts"
import { type Allowed, readPickle, type Value } from "./pickle.ts"
import { bytesOfStorage, readTensors } from "./tensors.ts"

const magic = 0x1950a86a20f9469cfc6cn
const version = 1001
/** What a pickle begins with: its protocol. */
export const beginsLikePickle = (start: Uint8Array): boolean => start[0] === 0x80

const nothing: Allowed = {
  callable: () => undefined,
  persistent: () => null,
}

/** Opens a file that begins like a pickle. Throws SyntaxError or RangeError that names it. */
export async function openLegacy(file: OpenFile): Promise<TorchFile> {
  const bytes = new Uint8Array(Math.min(file.size, maxPickle))
  await file.readAt(0, bytes)
  const { name } = file
  const plain = (at: number) => readPickle(bytes, at, nothing, name)
  const first = plain(0)
  if (first.value !== magic) {
    throw new SyntaxError(`${name} is a pickle, but not one of torch.save. Give a file of weights`)
  }
  const second = plain(first.end)
  if (second.value !== version) {
    throw new RangeError(`${name} is of version ${String(second.value)}, expected ${version}`)
  }
  const system = plain(second.end)
  if (system.value instanceof Map && system.value.get("little_endian") === false) {
    throw new RangeError(`${name} has big-endian numbers, expected little-endian ones`)
  }
  const { value, storages, end } = readTensors(bytes, system.end, name)
  const keys = plain(end)
  const places = await placesOf(file, keys.end, keys.value, storages)
  return {
    value,
    read: ({ key }, start, target) => file.readAt((places.get(key) as number) + start, target),
  }
}

/** Where the numbers of each storage begin. */
async function placesOf(
  file: OpenFile,
  start: number,
  keys: Value,
  storages: ReturnType<typeof readTensors>["storages"],
): Promise<Map<string, number>> {
  const damaged = (why: string): SyntaxError =>
    new SyntaxError(`${file.name} is damaged: ${why}. Download or write it again`)
  const places = new Map<string, number>()
  let at = start
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = storages.get(String(key))
    if (!storage || places.has(storage.key)) throw damaged(`no tensor has storage ${show(key)}`)
    const bytes = bytesOfStorage(storage)
    if (at + 8 + bytes > file.size) throw damaged(`storage ${show(key)} is cut off`)
    const count = new Uint8Array(8)
    await file.readAt(at, count)
    if (Number(new DataView(count.buffer).getBigInt64(0, true)) !== storage.count) {
      throw damaged(`storage ${show(key)} has another size than its tensors say`)
    }
    places.set(storage.key, at + 8)
    at += 8 + bytes
  }
  const missing = [...storages.keys()].find((key) => !places.has(key))
  if (missing !== undefined) throw damaged(`storage ${show(missing)} is missing`)
  return places
}
