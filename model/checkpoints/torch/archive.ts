// PyTorch's files since 1.6: a zip file with the pickle data.pkl and a member for each storage, all in one
// folder.
import type { OpenFile } from "../../files/tree.ts"
import { show } from "../../json.ts"
import { itemBytes } from "../header.ts"
import type { Value } from "./pickle.ts"
import { bytesOfStorage, readTensors, type Storage } from "./tensors.ts"
import { type Member, membersOf } from "./zip.ts"

/** What a file of PyTorch's holds. */
export interface TorchFile {
  readonly value: Value
  /** Fills `target` from a byte of a storage. */
  read(storage: Storage, start: number, target: Uint8Array): Promise<void>
}

/** Most bytes of a pickle: that of the largest model's training state is a tenth of it. */
export const maxPickle = 8 << 20

/** Opens a file that begins like a zip file. Throws SyntaxError or RangeError that names it. */
export async function openArchive(file: OpenFile): Promise<TorchFile> {
  const members = await membersOf(file)
  const root = rootOf(file, members)
  const order = await small(members.get(`${root}/byteorder`), 16)
  if (order && new TextDecoder().decode(order) !== "little") {
    throw new RangeError(`${file.name} has big-endian numbers, expected little-endian ones`)
  }
  const bytes = (await small(members.get(`${root}/data.pkl`), maxPickle)) as Uint8Array
  const { value, storages } = readTensors(bytes, 0, `${file.name}: data.pkl`)
  const memberOf = (key: string): Member | undefined => members.get(`${root}/data/${key}`)
  for (const storage of storages.values()) checkStorage(file, storage, memberOf(storage.key))
  return {
    value,
    read: async (storage, start, target) => memberOf(storage.key)?.read(start, target),
  }
}

/** The one folder that everything lies in: named after the file, or archive. */
function rootOf(file: OpenFile, members: ReadonlyMap<string, Member>): string {
  const roots = [...members.keys()].flatMap((name) => /^([^/]*)\/data\.pkl$/.exec(name)?.[1] ?? [])
  const [root] = roots
  if (root !== undefined && roots.length === 1) return root
  throw new SyntaxError(
    `${file.name} is a zip file with ${roots.length} data.pkl in folders of it, expected 1. ` +
      "Give a file that torch.save wrote",
  )
}

async function small(member: Member | undefined, limit: number): Promise<Uint8Array | undefined> {
  if (!member) return undefined
  if (member.size > limit) {
    throw new RangeError(`${member.name} has ${member.size} bytes, expected at most ${limit}`)
  }
  const bytes = new Uint8Array(member.size)
  await member.read(0, bytes)
  return bytes
}

function checkStorage(file: OpenFile, storage: Storage, member: Member | undefined): void {
  const { key, dtype, count } = storage
  const bytes = bytesOfStorage(storage)
  // Of a storage that was made of bytes, a part of a number may be left over.
  if (member && member.size >= bytes && member.size < bytes + itemBytes[dtype]) return
  throw new RangeError(
    `${file.name}: storage ${show(key)} has ${count} numbers of ${dtype}, ${bytes} bytes, its member ` +
      `${member ? `${member.size}` : "is missing"}. Download or write it again`,
  )
}
