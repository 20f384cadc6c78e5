// Which version of a file an answer is of: by ETag, else by Last-Modified where that is old enough to
// distinguish two (RFC 9110 §8.8). Ranges of one version fit together; others never do.

export interface Version {
  readonly etag: string | null
  readonly modified: string | null
  /** Milliseconds from the last change to the answer. */
  readonly ageMs: number
}

/** A file changed less than this before the answer may change again within the same second, or as
 *  seen by another clock. */
const settledMs = 60_000

export function versionOf(headers: Headers): Version {
  const modified = headers.get("last-modified")
  const sent = Date.parse(headers.get("date") ?? "")
  const ageMs = (Number.isNaN(sent) ? Date.now() : sent) - Date.parse(modified ?? "")
  return { etag: headers.get("etag") || null, modified, ageMs }
}

/** A weak ETag names files that mean the same, not the same bytes. */
const isWeak = (etag: string): boolean => etag.startsWith("W/")

/** Whether another answer of equal marks holds bytes of the same file. */
export const isExact = ({ etag, ageMs }: Version): boolean =>
  (etag !== null && !isWeak(etag)) || ageMs >= settledMs

/** The header that asks for a range only of this version. */
export function rangeCondition({ etag, modified }: Version): Record<string, string> {
  if (etag !== null && !isWeak(etag)) return { "if-range": etag }
  return modified === null ? {} : { "if-range": modified }
}

/** Whether two answers are of different versions. One without marks is of another, unless the server
 *  has been asked by `rangeCondition` and kept to it. */
export function contradicts(first: Version, later: Version, isConfirmed: boolean): boolean {
  const opaque = (etag: string): string => etag.replace(/^W\//, "")
  if (first.etag !== null && later.etag !== null) {
    if (opaque(first.etag) !== opaque(later.etag)) return true
    if (!isWeak(first.etag)) return false
  }
  if (first.modified !== null && later.modified !== null) return first.modified !== later.modified
  return !isConfirmed
}
