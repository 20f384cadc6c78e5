// Does a text look like UTF-8 that was read in the wrong character set? The signs are pairs of
// characters that such reading puts side by side and people do not: ftfy 6.2's, by class.

import { isSpace, spaces } from "../../model/python/spaces.ts"
import { charactersOf } from "./codepages.ts"

const bad = 1
const upperAccented = 2
const lowerAccented = 4
const box = 8
const start = 16
const end = 32
const currency = 64
const numeric = 128
const kaomoji = 256
const lowerCommon = 512
const upperCommon = 1024

/** Members of each class; a hyphen makes a range. Characters of none are no sign of anything. */
const members: readonly (readonly [number, string])[] = [
  [bad, "¦¤¨¬¯¶§¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº"],
  [upperAccented, "À-ÑØÜÝĂĄĆČĎĐĘĚĞİĹĽŁŃŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"],
  [lowerAccented, "ßà-ñăąćčďđęěğĺľłœŕśşšťüźżžґﬁﬂ"],
  [box, "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"],
  [start, "¡«¿©΄΅‘‚“„•‹\uf8ff"],
  [end, "®»˝”›™"],
  [currency, "¢£¥₧€"],
  [numeric, "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"],
  // Letters of faces drawn in text, which may stand beside anything but a box.
  [kaomoji, "Ò-ÖÙ-Üò-öø-üŐ°"],
  [lowerCommon, "α-ωάέήίΰа-џ"],
  [upperCommon, "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"],
]

const signs = bad | upperAccented | lowerAccented | box | start | end | currency | numeric

/** Which classes a class may not have directly after it. */
const forbiddenAfter: readonly (readonly [number, number])[] = [
  [bad, signs],
  [upperAccented, bad | box | numeric],
  [lowerAccented, bad | box | upperAccented | currency],
  [box, (signs & ~box) | kaomoji],
  [start, bad | box],
  [end, bad | box | upperAccented | lowerAccented | currency],
  [currency, bad | box | upperAccented | lowerAccented | start],
  [numeric, bad | box | upperAccented | lowerAccented | start],
  [lowerCommon, upperAccented],
]

// U+2000 to U+FFFF holds few members, so one table of the whole plane is the simplest.
const classOf = new Uint16Array(65536)
for (const [name, text] of members) {
  for (const [, first = "", last = first] of text.matchAll(/(.)(?:-(.))?/gs)) {
    for (let c = first.charCodeAt(0); c <= last.charCodeAt(0); c++) classOf[c] = at(c) | name
  }
}

/** By classes: those that they may not have directly after them. */
const forbidden = Uint16Array.from({ length: 2 * upperCommon }, (_, group) =>
  forbiddenAfter.reduce((all, [name, after]) => (group & name ? all | after : all), 0),
)

function at(c: number): number {
  return classOf[c] as number
}

/** The members of classes, as the inside of a regular expression's brackets. */
const inside = (mask: number): string =>
  members
    .filter(([name]) => name & mask)
    .map(([, text]) => text)
    .join("")

const arabic = `[ØÙ][\\xa0\\xad·´–—―…’${inside(currency | bad | numeric | start)}ŸŠ®°µ»]`
const betweenCyrillic = inside(bad | start | end | currency)

/** Sequences that mistaken reading makes of common letters, and that no class would show. */
const sequences = new RegExp(
  [
    "[Œœ][^A-Za-z]",
    `[ÂÃÎÐ][€Šš¢£Ÿž\\xa0\\xad®©°·»${inside(start | end)}–—´]`,
    "×[²³]",
    arabic + arabic,
    "à[²µ¹¼½¾]",
    // Read as MacRoman
    "√[±∂†≠®™´≤≥¥µø]|≈[°¢]|‚Ä[ìîïòôúùû†°¢π]|‚[âó][àä°ê]",
    // Read as Windows-1251, 1253, once or twice
    `вЂ|[ВГРС][${betweenCyrillic}°µ][ВГРС]|ГўВЂВ.[A-Za-z ]`,
    `β€[™\\xa0Ά\\xad®°]|[ΒΓΞΟ][${betweenCyrillic}°][ΒΓΞΟ]`,
    // à, á and the hard space, whose second byte became a plain space
    `Ã[\\xa0¡]|[a-z][${spaces}]?[ÃÂ] |^[ÃÂ] `,
    `[a-z.,?!${inside(end)}]Â[ ${inside(start | end)}]`,
  ].join("|"),
  "u",
)

const plain = /^\p{ASCII}*$/u
const word = /[\p{L}\p{N}_]/u

/** Whether `text` holds at least one sign of having been read in the wrong character set. */
export function looksMisread(text: string): boolean {
  if (plain.test(text)) return false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x80) continue
    if (c < 0xa0) return true
    const group = at(c)
    if (group !== 0 && isSign(text, i, group)) return true
  }
  return sequences.test(text)
}

/** Whether the character at i is one with the next, or with both of its neighbours. */
function isSign(text: string, i: number, group: number): boolean {
  const next = text.charCodeAt(i + 1)
  const after = Number.isNaN(next) ? 0 : at(next)
  if ((forbidden[group] as number) & after) return true
  const previous = i > 0 ? (text[i - 1] as string) : ""
  const before = previous === "" ? 0 : at(previous.charCodeAt(0))
  const accented = lowerAccented | upperAccented
  if (group & (lowerCommon | upperCommon) && after & bad && /[a-zA-Z]/.test(previous)) return true
  if (group & upperAccented) {
    if (after & currency && (isSpace(previous.charCodeAt(0)) || /[a-z]/.test(previous))) return true
    if (after & start && /[a-z]/.test(previous)) return true
  }
  if (group & start && after & numeric) {
    return (before & (accented | box | currency | end)) !== 0
  }
  if (group & end) {
    if (after & start && before & (accented | currency | numeric | box)) return true
    if (before & accented && i + 1 < text.length) {
      return word.test(String.fromCodePoint(text.codePointAt(i + 1) as number))
    }
  }
  return false
}

// ---- UTF-8 inside of other text ----------------------------------------------------------------

/** Characters that end a misread sequence but also stand for themselves beside one. */
const punctuation = /[–—―‘’‚“”„•…]/
const escaped = (characters: readonly string[]): string =>
  characters.map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")

const following = charactersOf(0x80, 0xbf)
const strict = escaped(following.filter((c) => !punctuation.test(c)))
const tail = `[${escaped(following)} ]`
const leads = [charactersOf(0xc2, 0xdf), charactersOf(0xe0, 0xef)].map(escaped)
const leadOf4 = escaped([...charactersOf(0xf0, 0xf0), ...charactersOf(0xf3, 0xf3)])

/** Runs of characters that are UTF-8 in one of the character sets, a space standing for byte A0. */
export const misreadRuns = new RegExp(
  `(?<![${strict}])(?:[${leads[0]}]${tail}|[${leads[1]}]${tail}{2}|[${leadOf4}]${tail}{3})+`,
  "g",
)
