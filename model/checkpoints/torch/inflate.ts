// Bytes that lie deflated in a file, read from the beginning on; whoever asks for earlier ones begins
// again. Never all of them in memory.
import type { OpenFile } from "../../files/tree.ts"

const pieceBytes = 1 << 20

interface Deflated {
  readonly file: OpenFile
  /** Where the deflated bytes lie, and how many there are. */
  readonly offset: number
  readonly compressed: number
  /** How many they become. */
  readonly size: number
}

type Chunks = ReadableStreamDefaultReader<Uint8Array>

/** Fills a target from a place among the bytes. Throws SyntaxError where they are not deflated, or
 *  fewer. */
export function inflating(
  deflated: Deflated,
): (start: number, target: Uint8Array) => Promise<void> {
  let chunks: Chunks | undefined
  let chunk = new Uint8Array()
  /** Of the first byte of the chunk. */
  let position = 0
  const next = async (): Promise<void> => {
    position += chunk.length
    const { done, value } = await (chunks as Chunks).read().catch((error: Error) => {
      throw damaged(deflated, error.message)
    })
    if (done) throw damaged(deflated, `it holds ${position} bytes, expected ${deflated.size}`)
    chunk = new Uint8Array(value)
  }
  return async (start, target) => {
    if (!chunks || start < position) {
      await chunks?.cancel().catch(() => undefined)
      chunks = chunksOf(deflated)
      ;[chunk, position] = [new Uint8Array(), 0]
    }
    for (let done = 0; done < target.length; ) {
      const at = start + done
      while (at >= position + chunk.length) await next()
      const piece = chunk.subarray(at - position, at - position + target.length - done)
      target.set(piece, done)
      done += piece.length
    }
  }
}

function chunksOf({ file, offset, compressed }: Deflated): Chunks {
  let at = 0
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(control) {
      const piece = new Uint8Array(Math.min(pieceBytes, compressed - at))
      if (piece.length === 0) return control.close()
      await file.readAt(offset + at, piece)
      at += piece.length
      control.enqueue(piece)
    },
  })
  return source.pipeThrough(new DecompressionStream("deflate-raw")).getReader()
}

const damaged = ({ file }: Deflated, why: string): SyntaxError =>
  new SyntaxError(`${file.name} has deflated data that is damaged: ${why}. Download it again`)
