// What files of data hold, in a few letters: a run that goes on must read what it has read, wherever
// that lies now. Small files are read whole; of large ones, blocks over all of their length, so that a
// run over terabytes begins in seconds.
import type { Hash } from "node:crypto"
import { fromNode } from "../../engine/node.ts"
import type { DataFile } from "./files.ts"

/** Bytes that are read of all files together. */
const budget = 1 << 28
/** Bytes of a block of a file that is not read whole, and the fewest of a file. */
const blockBytes = 1 << 16

/** Sizes and contents of the files, in their order, and the keys that are read in them. */
export async function fingerprintOf(files: readonly DataFile[]): Promise<string> {
  const { createHash } = fromNode("node:crypto")
  const hash = createHash("sha256")
  const each = Math.max(blockBytes, Math.floor(budget / Math.max(1, files.length)))
  for (const { path, key, documents } of files) {
    hash.update(JSON.stringify([key, documents]))
    await addFile(hash, path, each)
  }
  return hash.digest("hex").slice(0, 16)
}

async function addFile(hash: Hash, path: string, most: number): Promise<void> {
  const { open } = fromNode("node:fs/promises")
  // One that is missing is met again where it is read.
  const file = await open(path, "r").catch(() => undefined)
  if (!file) return void hash.update("missing")
  try {
    const { size } = await file.stat()
    hash.update(`${size}:`)
    const blocks = Math.ceil(Math.min(size, most) / blockBytes)
    const block = new Uint8Array(blockBytes)
    for (let i = 0; i < blocks; i++) {
      const last = Math.max(0, size - blockBytes)
      const at = size <= most ? i * blockBytes : Math.floor((last * i) / Math.max(1, blocks - 1))
      const { bytesRead } = await file.read(block, 0, blockBytes, at)
      hash.update(block.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}
