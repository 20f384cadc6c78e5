// CRC-32 as zip files have it (polynomial 0xedb88320, reflected).
import { fromNode, isNode } from "../../../engine/node.ts"

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  return sum
})

function tableSum(bytes: Uint8Array, before: number): number {
  let sum = ~before
  for (const byte of bytes) sum = (sum >>> 8) ^ (table[(sum ^ byte) & 255] as number)
  return ~sum >>> 0
}

/** The runtime's own, which is eight times as fast, where it has one: Node from 22.2 on. */
const native = isNode ? fromNode("node:zlib").crc32 : undefined

/** The sum of more bytes, after those that `before` is the sum of. */
export function crc32(bytes: Uint8Array, before = 0): number {
  return typeof native === "function" ? native(bytes, before) : tableSum(bytes, before)
}
