// Text before it is tokenized: as it is, in Unicode's composed form, or repaired as ftfy 6.2 does,
// whose fix_text the original uses. Misread UTF-8 is mended in mojibake.ts.
import { namedCharacter } from "./entities.ts"
import { repairReading, replaceC1 } from "./mojibake.ts"

export const normalizations = ["none", "nfc", "ftfy"] as const
/** What is done to a text before it is tokenized. */
export type Normalization = (typeof normalizations)[number]

/** The function that brings text into a form. */
export function normalizerOf(kind: Normalization): (text: string) => string {
  if (kind === "none") return (text) => text
  return kind === "nfc" ? (text) => text.normalize("NFC") : fixText
}

/** Text that no repair would change. */
const sound = /^[\t\n\f\x20-%'-~]*$/
/** As ftfy, which repairs a line at a time but never more than this. */
const longestSegment = 1_000_000

/**
 * ftfy's fix_text with NFC, line by line until nothing changes: HTML entities (up to the first line
 * with a "<"), misread UTF-8, C1 controls, Latin ligatures, full- and half-width forms, curly quotes,
 * line breaks, surrogates, terminal escapes, control characters.
 * Left out: ftfy's other options and explanations; lines over a million are cut by UTF-16 units
 * rather than code points; two ways in which its CESU-8 reader errs at the end of a text.
 */
export function fixText(text: string): string {
  if (sound.test(text)) return text
  let fixed = ""
  let entities = true
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf("\n", from) + 1
    const to = Math.min(newline === 0 ? text.length : newline, from + longestSegment)
    const segment = text.slice(from, to)
    entities &&= !segment.includes("<")
    fixed += sound.test(segment) ? segment : fixSegment(segment, entities)
    from = to
  }
  return fixed
}

function fixSegment(segment: string, entities: boolean): string {
  let now = segment
  while (true) {
    const before = now
    now = repairReading(entities ? unescapeEntities(now) : now)
    now = replaceC1(now).replace(ligature, (c) => ligatures.get(c) as string)
    now = now.replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize("NFKC"))
    now = now.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'")
    now = now.replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n")
    // With u, pairs of surrogates are characters and only lone ones match.
    now = now.replace(/[\ud800-\udfff]/gu, "\ufffd")
    now = now.replace(terminalEscape, "").replace(control, "").normalize("NFC")
    if (now === before || sound.test(now)) return now
  }
}

const ligatures = new Map(
  Object.entries({
    Ĳ: "IJ",
    ĳ: "ij",
    ŉ: "ʼn",
    Ǆ: "DŽ",
    ǅ: "Dž",
    ǆ: "dž",
    Ǉ: "LJ",
    ǈ: "Lj",
    ǉ: "lj",
    Ǌ: "NJ",
    ǋ: "Nj",
    ǌ: "nj",
    Ǳ: "DZ",
    ǲ: "Dz",
    ǳ: "dz",
    ﬀ: "ff",
    ﬁ: "fi",
    ﬂ: "fl",
    ﬃ: "ffi",
    ﬄ: "ffl",
    ﬅ: "ſt",
    ﬆ: "st",
  }),
)
const ligature = new RegExp(`[${[...ligatures.keys()].join("")}]`, "g")

const terminalEscape = new RegExp(`${String.fromCharCode(27)}\\[[\\p{Nd};]*[a-zA-Z]`, "gu")
/** Controls that are no white space, marks for annotations, embedded objects and byte order. */
const control = /(?![\t\n\f\r\x80-\x9f])\p{Cc}|[\u206a-\u206f\ufeff\ufff9-\ufffc]/gu

// ---- HTML entities -----------------------------------------------------------------------------

/** Names that need no semicolon, so that a longer word in capitals is read as one of them. */
const bare = /^(?:AMP|COPY|ETH|GT|LT|QUOT|REG|THORN)/

const unescapeEntities = (text: string): string =>
  text.replace(/&(#?)([0-9A-Za-z]{1,24});/g, (whole, hash, name) =>
    hash === "" ? named(name, whole) : numbered(name, whole),
  )

/** Names as HTML has them, and those of small letters also all in capitals (&EACUTE; is É). */
function named(name: string, whole: string): string {
  const known = namedCharacter(name)
  if (known !== undefined) return known
  const small = name.toLowerCase()
  if (name !== small.toUpperCase() || bare.test(name)) return whole
  return namedCharacter(small)?.toUpperCase() ?? whole
}

/** By number, as browsers read it: 80 to 9F by Windows-1252, what is no character vanishes. */
function numbered(digits: string, whole: string): string {
  const hex = /^[xX]([0-9a-fA-F]+)$/.exec(digits)?.[1]
  if (hex === undefined && !/^[0-9]+$/.test(digits)) return whole
  const code = hex === undefined ? Number(digits) : Number.parseInt(hex, 16)
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd"
  if (code >= 0x80 && code < 0xa0) return replaceC1(String.fromCharCode(code))
  const character = String.fromCodePoint(code)
  if (character === ";") return whole
  const none = code < 0x20 ? !/[\t\n\f\r]/.test(character) : code === 0x7f
  return none || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe ? "" : character
}
