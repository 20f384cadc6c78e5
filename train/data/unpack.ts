// The bytes of a file, unpacked as they are read: plain, gzip (.gz) and Zstandard (.zst).
import type { Readable, Transform } from "node:stream"
import { fromNode } from "../../engine/node.ts"

const bufferBytes = 1 << 18

/** Chunks of a file's content. Throws what the file system and the unpacking throw. */
export async function* unpacked(path: string): AsyncGenerator<Buffer> {
  const { createReadStream } = fromNode("node:fs")
  const open = (start: number): Readable =>
    createReadStream(path, { start, highWaterMark: bufferBytes })
  if (path.endsWith(".gz")) {
    const { createGunzip } = fromNode("node:zlib")
    yield* through(open(0), createGunzip({ chunkSize: bufferBytes }))
  } else if (path.endsWith(".zst")) {
    yield* zstandard(path, open)
  } else {
    yield* open(0)
  }
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
