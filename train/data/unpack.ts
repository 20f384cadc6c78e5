// The bytes of a file, unpacked as they are read: plain, gzip (.gz) and Zstandard (.zst).
import type { Readable, Transform } from "node:stream"
import { fromNode } from "../../engine/node.ts"
import { checkPlain } from "../../model/files/disk.ts"

const bufferBytes = 1 << 18

/** Chunks of a file's content. Throws what the file system and the unpacking throw. */
export async function* unpacked(path: string): AsyncGenerator<Buffer> {
  const { createReadStream } = fromNode("node:fs")
  checkPlain(path)
  const open = (start: number): Readable =>
    createReadStream(path, { start, highWaterMark: bufferBytes })
  if (path.endsWith(".gz")) {
    yield* gzip(path, open)
  } else if (path.endsWith(".zst")) {
    yield* zstandard(path, open)
  } else {
    yield* open(0)
  }
}

/**
 * Member by member: Node's decompressor takes zeros after one for the end of the file and drops what
 * follows. Zeros may stand between members and after the last, as tools for tapes write them.
 */
async function* gzip(path: string, open: (start: number) => Readable) {
  const { createGunzip } = fromNode("node:zlib")
  const { stat } = fromNode("node:fs/promises")
  const { size } = await stat(path)
  for (let start = 0; start < size; ) {
    const members = createGunzip({ chunkSize: bufferBytes })
    yield* through(open(start), members)
    if (members.bytesWritten === 0) return
    start += members.bytesWritten
    start += await zerosFrom(open(start))
  }
}

async function zerosFrom(bytes: Readable): Promise<number> {
  let count = 0
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    const other = chunk.findIndex((byte) => byte !== 0)
    if (other >= 0) return count + other
    count += chunk.length
  }
  return count
}

/** Frame by frame: Node's decompressor stops at the end of the first and drops what follows. */
async function* zstandard(path: string, open: (start: number) => Readable) {
  const { constants, createZstdDecompress } = fromNode("node:zlib")
  const { stat } = fromNode("node:fs/promises")
  if (!createZstdDecompress) {
    throw new Error(
      `this version of Node (${process.version}) has no Zstandard. ` +
        "Use Node 22.15 or later, or unpack the file (zstd -d)",
    )
  }
  // Archives made with zstd --long may look back this far.
  const params = { [constants.ZSTD_d_windowLogMax]: 31 }
  const { size } = await stat(path)
  let start = 0
  do {
    const frame = createZstdDecompress({ chunkSize: bufferBytes, params })
    yield* through(open(start), frame)
    if (frame.bytesWritten === 0) return
    start += frame.bytesWritten
  } while (start < size)
}

async function* through(raw: Readable, unpack: Transform): AsyncGenerator<Buffer> {
  raw.on("error", (error) => unpack.destroy(error))
  try {
    yield* raw.pipe(unpack)
  } finally {
    raw.destroy()
    unpack.destroy()
  }
}
