// Texts as Python's str has them: what strip removes, how long a text is, how capitalize writes it.
import { spaces } from "./spaces.ts"

const ahead = new RegExp(`^[${spaces}]+`)
const after = new RegExp(`[${spaces}]+$`)

/** As str.lstrip(). */
export const stripLeft = (text: string): string => text.replace(ahead, "")

/** As str.rstrip(). */
export const stripRight = (text: string): string => {
  // A regular expression would look at each run of white space within the text up to its end.
  let end = text.length
  while (end > 0 && after.test(text[end - 1] as string)) end--
  return text.slice(0, end)
}

/** As str.strip(). */
export const strip = (text: string): string => stripRight(stripLeft(text))

/** As len(str): code points. */
export const lengthOf = (text: string): number => {
  let length = 0
  for (const _ of text) length++
  return length
}

/** As str.capitalize(): the first character in title case, all others in lower case. */
export function capitalize(text: string): string {
  const [first] = text
  if (first === undefined) return ""
  // The whole in lower case, since how a sigma is written depends on what goes before it.
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length)
}

/** Digraphs, which have a form of their own in title case. */
const digraphs = ["Ǆǅǆ", "Ǉǈǉ", "Ǌǋǌ", "Ǳǲǳ"]

/** A character in title case.  Unicode's SpecialCasing.txt */
function titleCase(character: string): string {
  const digraph = digraphs.find((each) => each.includes(character))
  if (digraph) return digraph[1] as string
  const code = character.codePointAt(0) as number
  // Georgian has capitals, but no words that begin with one.
  if (code >= 0x10d0 && code <= 0x10ff) return character
  const upper = character.toUpperCase()
  if (lengthOf(upper) === 1) return upper
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCharCode(code | 8)
  if ([0x1fb3, 0x1fc3, 0x1ff3].includes(code)) return String.fromCharCode(code + 9)
  if ([0x1fbc, 0x1fcc, 0x1ffc, 0x149].includes(code)) return code === 0x149 ? upper : character
  // With an iota below, which stays a mark rather than a letter.
  if (code >= 0x1f00 && upper.endsWith("\u0399")) return `${upper.slice(0, -1)}\u0345`
  const [head = "", ...rest] = upper
  return head + rest.join("").toLowerCase()
}
