// A file's text in blocks of whole lines. Never more than a block, or one line, is in memory.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/index.ts"
import { unpacked } from "./unpack.ts"

/** Bytes of a line that may be a record; a string could hold twice as much. */
const longestRecord = 1 << 28
/** Bytes after which running text without line breaks is cut. */
const longestCut = 1 << 20
const newline = 10

export interface Block {
  readonly text: string
  /** The number of its first line, from 1. */
  readonly line: number
  /** Lines that are not UTF-8, left empty in the text. */
  readonly wrong: readonly number[]
}

/**
 * Blocks of text that end where a line does; with `cut` very long lines are cut.
 * Throws Error or SyntaxError naming the file and the line where reading it fails.
 */
export async function* readBlocks(path: string, cut: boolean): AsyncGenerator<Block> {
  const { Buffer, isUtf8 } = fromNode("node:buffer")
  let line = 1
  let waiting: Buffer[] = []
  let waitingBytes = 0
  const take = (rest: Uint8Array): Block => {
    const bytes = waitingBytes === 0 ? rest : Buffer.concat([...waiting, rest])
    waiting = []
    waitingBytes = 0
    const block = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), line, isUtf8)
    line += linesIn(block.text)
    return block
  }
  try {
    for await (const chunk of unpacked(path)) {
      let end = chunk.lastIndexOf(newline) + 1
      if (end === 0 && cut && waitingBytes + chunk.length > longestCut) end = wholeBytes(chunk)
      if (end > 0) yield take(chunk.subarray(0, end))
      if (end === chunk.length) continue
      waiting.push(chunk.subarray(end))
      waitingBytes += chunk.length - end
      if (waitingBytes > longestRecord) throw new LongLine()
    }
    if (waitingBytes > 0) yield take(new Uint8Array(0))
  } catch (error) {
    throw explain(error as Error & { code?: string }, path, line)
  }
}

/** A file's text, unpacked, as a whole or up to the block that completes `most` characters. Throws what
 *  `readBlocks` throws, SyntaxError where it is no UTF-8. */
export async function readText(path: string, most = Number.POSITIVE_INFINITY): Promise<string> {
  let text = ""
  for await (const block of readBlocks(path, true)) {
    const [line] = block.wrong
    if (line !== undefined) throw notUtf8(path, line)
    text += block.text
    if (text.length >= most) break
  }
  return text
}

export const notUtf8 = (path: string, line: number): Error =>
  new SyntaxError(`${path} line ${line} is not UTF-8 text`)

class LongLine extends Error {}

function decode(bytes: Buffer, line: number, isUtf8: (bytes: Uint8Array) => boolean): Block {
  if (isUtf8(bytes)) {
    const text = bytes.toString("utf8")
    return { text: line === 1 ? text.replace(/^\ufeff/, "") : text, line, wrong: [] }
  }
  const wrong: number[] = []
  let text = ""
  for (let start = 0, n = line; start < bytes.length; n++) {
    const end = bytes.indexOf(newline, start) + 1 || bytes.length
    const one = bytes.subarray(start, end)
    const sound = isUtf8(one)
    if (!sound) wrong.push(n)
    text += sound ? one.toString("utf8") : "\n"
    start = end
  }
  return { text, line, wrong }
}

function linesIn(text: string): number {
  let count = 0
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++
  return count
}

/** How many bytes there are up to the end of the last whole UTF-8 character. */
function wholeBytes(bytes: Uint8Array): number {
  let start = bytes.length - 1
  const first = Math.max(0, bytes.length - 4)
  while (start > first && ((bytes[start] as number) & 0xc0) === 0x80) start--
  const lead = bytes[start] as number
  const size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  return start + size <= bytes.length ? start + size : start
}

function explain(error: Error & { code?: string }, path: string, line: number): Error {
  const { code = "", message } = error
  if (error instanceof LongLine) {
    return new SyntaxError(`${path} line ${line} has more than 256 MiB, expected a record a line`)
  }
  const after = line === 1 ? "before its first line" : `after line ${line - 1}`
  if (code === "Z_BUF_ERROR") {
    return new SyntaxError(`${path} is cut off ${after}: ${message}. Download it again`)
  }
  if (/^(Z_|ZSTD_)/.test(code)) {
    return new SyntaxError(`${path} is damaged ${after}: ${message}. Download it again`)
  }
  return new Error(`Cannot read ${path}: ${faultText(error)}`)
}
