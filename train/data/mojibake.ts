// UTF-8 that was once read as Latin-1, as one of the Windows character sets, MacRoman or cp437, is
// read back, once or as often as needed; the steps and their order are ftfy's, as far as its results
// show. Whether a text needs it is decided in clues.ts.

import { looksMisread, misreadRuns } from "./clues.ts"
import { type CodePage, codePages, windows1252 } from "./codepages.ts"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text as it was meant, where it looks misread and one reading explains it. */
export function repairReading(text: string): string {
  let now = text
  while (true) {
    const next = repairOnce(now)
    if (next === now) return now
    now = next
  }
}

/** C1 control characters as Windows-1252 has them, which is what browsers show. */
export const replaceC1 = (text: string): string =>
  text.replace(/[\x80-\x9f]/g, (c) => windows1252.characters[c.charCodeAt(0)] as string)

function repairOnce(text: string): string {
  if (!looksMisread(text)) return text
  for (const page of codePages) {
    const bytes = bytesIn(text, page)
    const read = bytes === undefined ? undefined : readAgain(bytes, page)
    if (read !== undefined) return read
  }
  const partly = text.replace(misreadRuns, (run) =>
    run.length < text.length && looksMisread(run) ? repairReading(run) : run,
  )
  if (partly !== text) return partly
  return replaceC1(text)
}

/** The bytes, one character each, that read as `text` in a character set, if there are any. */
function bytesIn(text: string, { bytes }: CodePage): string | undefined {
  let all = ""
  for (const character of text) {
    const byte = bytes.get(character)
    if (byte === undefined) return undefined
    all += String.fromCharCode(byte)
  }
  return all
}

/** Bytes as UTF-8, small damage mended first; undefined where they are none. */
function readAgain(bytes: string, page: CodePage): string | undefined {
  // An en dash and a space in MacRoman would look like such damage.
  let mended = page.name === "macroman" ? bytes : restoreHardSpaces(bytes)
  if (page.sloppy) mended = replaceLost(mended)
  if (/[\xed\xc0]/.test(mended)) mended = fromSurrogates(mended)
  try {
    return utf8.decode(Uint8Array.from(mended, (c) => c.charCodeAt(0)))
  } catch {
    return undefined
  }
}

/** Lead bytes and their followers with a plain space in the place of byte A0. */
const spaced = new RegExp(
  [
    "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9] ",
    "[\\xe2\\xe3] [\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]",
    "[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf] ",
    "\\xf0(?: [\\x80-\\xbf]{2}|[\\x80-\\xbf] [\\x80-\\xbf]|[\\x80-\\xbf]{2} )",
  ].join("|"),
  "g",
)

/**
 * Programs that take the hard space A0 for a space break the UTF-8 it is part of. A lone à keeps
 * the space after it, except in Portuguese words that begin with it.
 */
function restoreHardSpaces(bytes: string): string {
  if (bytes.search(spaced) < 0) return bytes
  return bytes
    .replace(/\xc3 (?! |quele|quela|quilo|s )/g, "\xc3\xa0 ")
    .replace(spaced, (run) => run.replaceAll(" ", "\xa0"))
}

/** Sequences in which a byte was lost, 1A or (once) a question mark in its place. */
const lost = new RegExp(
  [
    "[\\xc2-\\xdf]\\x1a",
    "[\\xc2\\xc3]\\?",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    "[\\xe0-\\xef](?:[\\x1a?][\\x1a\\x80-\\xbf]|[\\x1a\\x80-\\xbf][\\x1a?])",
    "[\\xf0-\\xf4](?:[\\x1a?][\\x1a\\x80-\\xbf]{2}|[\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\x1a\\x80-\\xbf]{2}[\\x1a?])",
    "\\x1a",
  ].join("|"),
  "g",
)

/** What was lost becomes U+FFFD, whole. */
const replaceLost = (bytes: string): string => bytes.replace(lost, "\xef\xbf\xbd")

/** UTF-8 of surrogate pairs (CESU-8) and Java's two-byte zero as plain UTF-8. */
function fromSurrogates(bytes: string): string {
  const pair = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g
  return bytes.replaceAll("\xc0\x80", "\0").replace(pair, (_, a, b, c, d) => {
    const [p, q, r, s] = [a, b, c, d].map((x: string) => x.charCodeAt(0)) as unknown as Four
    const code = 0x10000 + ((p & 15) << 16) + ((q & 63) << 10) + ((r & 15) << 6) + (s & 63)
    const parts = [0xf0 | (code >> 18), (code >> 12) & 63, (code >> 6) & 63, code & 63]
    return String.fromCharCode(...parts.map((part, i) => (i === 0 ? part : 0x80 | part)))
  })
}

type Four = readonly [number, number, number, number]
