// What a page keeps of the hub, in its Cache: small answers, and contents in pieces under their hashes, so
// that a download which broke off, or a reload, goes on from the pieces that are there.
import { Sha256 } from "../sha256.ts"

/** Bytes of a piece. */
export const pieceBytes = 8 << 20

const cacheName = "openelm-hub"

/** Whether there is a Cache: not in a page that is not secure. */
export const hasCache = (): boolean => typeof caches === "object"

/** A content as the hub names it. */
export interface Content {
  /** Of its bytes: SHA-256, or Git's SHA-1 of a blob, in hexadecimal digits. */
  readonly hash: string
  readonly size: number
}

/** What is kept at addresses that begin with `at`. */
export interface KeptFiles {
  answer(path: string): Promise<unknown>
  keepAnswer(path: string, answer: unknown): Promise<void>
  /** Whether all of a content is there, and was found to be right. */
  hasContent(content: Content): Promise<boolean>
  /** Piece i of a content, undefined where it is not there. */
  piece(content: Content, i: number): Promise<Uint8Array | undefined>
  hasPiece(content: Content, i: number): Promise<boolean>
  keepPiece(content: Content, i: number, bytes: Uint8Array): Promise<void>
  /** Marks a content as whole, if its pieces have its hash; else forgets them all. Returns which. */
  seal(content: Content): Promise<boolean>
}

export const piecesOf = ({ size }: Content): number => Math.max(1, Math.ceil(size / pieceBytes))

/** Bytes of piece i. */
export const lengthOf = ({ size }: Content, i: number): number =>
  Math.min(pieceBytes, size - i * pieceBytes)

export async function openKept(at: string): Promise<KeptFiles> {
  const cache = await caches.open(cacheName)
  const urlOf = ({ hash }: Content, what: number | "whole"): string => `${at}/blobs/${hash}?${what}`
  const put = async (url: string, body: BodyInit): Promise<void> => {
    try {
      await cache.put(url, new Response(body))
    } catch (cause) {
      const why = `the browser keeps no more (${(cause as Error).message})`
      throw new Error(`Cannot keep ${url}: ${why}. Free some of the storage of this site`, {
        cause,
      })
    }
  }
  const piece = async (content: Content, i: number): Promise<Uint8Array | undefined> => {
    const found = await cache.match(urlOf(content, i))
    return found && new Uint8Array(await found.arrayBuffer())
  }
  return {
    piece,
    answer: async (path) => (await cache.match(`${at}/${path}`))?.json(),
    keepAnswer: (path, answer) => put(`${at}/${path}`, JSON.stringify(answer)),
    hasContent: async (content) => (await cache.match(urlOf(content, "whole"))) !== undefined,
    hasPiece: async (content, i) => (await cache.match(urlOf(content, i))) !== undefined,
    keepPiece: (content, i, bytes) => put(urlOf(content, i), bytes.slice()),
    async seal(content) {
      if ((await hashOf(content, piece)) === content.hash) {
        await put(urlOf(content, "whole"), String(content.size))
        return true
      }
      for (let i = 0; i < piecesOf(content); i++) await cache.delete(urlOf(content, i))
      return false
    },
  }
}

/** The hash of what is kept, of the kind that the content's is; Git hashes a blob behind its length. */
async function hashOf(content: Content, piece: KeptFiles["piece"]): Promise<string> {
  const isGit = content.hash.length === 40
  const whole = new Sha256()
  const parts: Uint8Array<ArrayBuffer>[] = [new TextEncoder().encode(`blob ${content.size}\0`)]
  for (let i = 0; i < piecesOf(content); i++) {
    const bytes = (await piece(content, i)) ?? new Uint8Array()
    if (isGit) parts.push(bytes.slice())
    else whole.update(bytes)
  }
  if (!isGit) return whole.digest()
  const all = await new Blob(parts).arrayBuffer()
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", all))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
