// The body of an answer: as it comes, within its bound, and as far as it came. Asking is http.ts.
import type { Patience } from "./http.ts"
import { judgedBytes } from "./kinds.ts"

/** What came of a body, and why it broke off where it did. */
interface Body {
  readonly bytes: Uint8Array
  readonly broken: Error | undefined
  /** Whether it was left since it does not begin as the file would. */
  readonly isOther?: boolean
}

/** Judges a body by its first bytes: `judgedBytes` of them. */
export type Judge = (start: Uint8Array) => boolean

/**
 * The bytes of an answer, as they come and no more than `limit` of them: a body that goes on is
 * left, and a RangeError is thrown, unless `isLike` finds that it is not the file at all. A body that
 * breaks off is what there is of it.
 */
export async function bodyOf(
  url: string,
  response: Response,
  patience: Patience,
  limit: number,
  isLike?: Judge,
): Promise<Body> {
  const { headers } = response
  const declared = headers.has("content-encoding") ? null : headers.get("content-length")
  const length = declared === null ? undefined : Number(declared)
  const check = (bytes: number | undefined): void => {
    if (bytes === undefined || bytes <= limit) return
    const has = bytes === length ? length : "more"
    throw new RangeError(`${url} has ${has} bytes, expected at most ${limit}. Check the file`)
  }
  const into = growing(length)
  const reader = response.body?.getReader()
  try {
    if (!isLike) check(length)
    for (let isJudged = !isLike; ; ) {
      const { value } = (await reader?.read()) ?? {}
      if (!value) break
      patience.restart()
      if (isJudged) check(into.length() + value.length)
      into.add(value)
      if (isJudged || into.length() < judgedBytes) continue
      const bytes = into.bytes()
      if (!isLike?.(bytes.subarray(0, judgedBytes)))
        return { bytes, broken: undefined, isOther: true }
      isJudged = true
      check(length ?? bytes.length)
    }
  } catch (error) {
    patience.signal.throwIfAborted()
    if (error instanceof RangeError) throw error
    return { bytes: into.bytes(), broken: endedEarly(url, `the connection broke`, error) }
  } finally {
    await reader?.cancel().catch(() => undefined)
  }
  const bytes = into.bytes()
  const missing = length !== undefined && bytes.length < length
  const broken = missing ? endedEarly(url, `${bytes.length} of ${length} bytes came`) : undefined
  return { bytes, broken }
}

const endedEarly = (url: string, what: string, cause?: unknown): Error =>
  new Error(`${url} ended early: ${what}. Load it again`, { cause })

/** What is believed of a declared length before anything has come. */
const firstBytes = 64 << 20

/** Bytes that come in pieces, in an array that grows; by what is declared, once some of it came. */
function growing(length = 0) {
  const sizeFor = (least: number): number => (least <= length ? length : 2 * least)
  let bytes = new Uint8Array(Math.min(length, firstBytes))
  let used = 0
  return {
    length: () => used,
    add(piece: Uint8Array): void {
      if (used + piece.length > bytes.length) {
        const grown = new Uint8Array(sizeFor(used + piece.length))
        grown.set(bytes.subarray(0, used))
        bytes = grown
      }
      bytes.set(piece, used)
      used += piece.length
    },
    bytes: () => bytes.subarray(0, used),
  }
}
