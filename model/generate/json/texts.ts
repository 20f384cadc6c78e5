// Frames of what has no parts: fixed texts, strings, numbers.
import { type Frame, Place } from "./frame.ts"
import { mostWhole } from "./node.ts"

const none: readonly Place[] = []
const [quote, backslash] = [0x22, 0x5c]
const code = (character: string): number => character.charCodeAt(0)
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/** The rest of a fixed text. */
export const fixed = (bytes: Uint8Array, at = 0): Frame => ({
  key: `"${bytes.subarray(at).join()}`,
  step(byte, below) {
    if (bytes[at] !== byte) return none
    return [at + 1 === bytes.length ? below : new Place(fixed(bytes, at + 1), below)]
  },
})

// ---- Strings ------------------------------------------------------------------------------------

/** Beyond so many characters that are left, how many no longer matters to one token. */
export const longestToken = 256

interface StringRules {
  readonly id: number | string
  /** Characters at least and at most. */
  readonly min: number
  readonly max: number
  /** Names that it must not be, as JSON has them after the first quotation mark: then nothing is escaped. */
  readonly others?: readonly Uint8Array[]
}

/** Inside of a character: bytes of UTF-8 from `low` to `high`, then others; or what an escape still takes. */
type Within =
  | { readonly kind: "bytes"; readonly low: number; readonly high: number; readonly left: number }
  | { readonly kind: "escape" }
  | { readonly kind: "hex"; readonly left: number; readonly isLow: boolean }

interface StringState {
  readonly count: number
  readonly others: readonly Uint8Array[]
  readonly at: number
  readonly within: Within | undefined
}

/** What follows the first quotation mark of a string, with the last one. */
export const string = (rules: StringRules): Frame =>
  stringFrom(rules, { count: 0, others: rules.others ?? [], at: 0, within: undefined })

function stringFrom(rules: StringRules, state: StringState): Frame {
  const { min, max } = rules
  const { count, others, at, within } = state
  const isCounted = count < min || max < Number.POSITIVE_INFINITY
  const left = `${Math.min(Math.max(0, min - count), longestToken)},${Math.min(max - count, longestToken)}`
  const names = others.map((name) => name.subarray(at).join()).join(";")
  const inside = within ? Object.values(within).join() : ""
  const escapes = rules.others === undefined
  return {
    key: `s${isCounted ? left : ""}:${inside}:${escapes ? "" : `n${names}`}`,
    step(byte, below, here) {
      if (within) return insideOf(rules, state, within, byte, below)
      if (byte === quote) {
        const isOther = others.some((name) => name.length === at + 1 && name[at] === quote)
        return count >= min && !isOther ? [below] : none
      }
      if (byte < 0x20 || count >= max) return none
      if (byte === backslash) {
        if (!escapes) return none
        return [new Place(stringFrom(rules, { ...state, within: { kind: "escape" } }), below)]
      }
      const begun = byte < 0x80 ? undefined : utf8Of(byte)
      if (byte >= 0x80 && !begun) return none
      const isSame = !isCounted && !begun && others.length === 0
      if (isSame) return here.alone
      return [new Place(stringFrom(rules, after(state, byte, begun)), below)]
    },
  }
}

/** A state with a byte more, which is a character unless it begins one. */
function after(
  { count, others, at }: StringState,
  byte: number,
  within: Within | undefined,
): StringState {
  const left = others.filter((name) => name[at] === byte)
  return { count: count + Number(within === undefined), others: left, at: at + 1, within }
}

function insideOf(
  rules: StringRules,
  state: StringState,
  within: Within,
  byte: number,
  below: Place,
): readonly Place[] {
  const go = (next: Within | undefined): readonly Place[] => {
    const plain = stringFrom(rules, after(state, byte, next))
    return [new Place(plain, below)]
  }
  if (within.kind === "bytes") {
    if (byte < within.low || byte > within.high) return none
    const left = within.left - 1
    return go(left === 0 ? undefined : { kind: "bytes", low: 0x80, high: 0xbf, left })
  }
  const letter = String.fromCharCode(byte)
  if (within.kind === "escape") {
    if (letter === "u") return go({ kind: "hex", left: 4, isLow: false })
    return '"\\/bfnrt'.includes(letter) ? go(undefined) : none
  }
  // Of halves of characters beyond U+FFFF none is written alone: the second digit after a D is below 8.
  if (!/[0-9a-fA-F]/.test(letter) || (within.isLow && !/[0-7]/.test(letter))) return none
  const left = within.left - 1
  return go(
    left === 0 ? undefined : { kind: "hex", left, isLow: left === 3 && /[dD]/.test(letter) },
  )
}

/** What follows the first byte of a character. */
function utf8Of(byte: number): Within | undefined {
  if (byte < 0xc2 || byte > 0xf4) return undefined
  const left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
  const low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80
  const high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf
  return { kind: "bytes", low, high, left }
}

// ---- Numbers ------------------------------------------------------------------------------------

/** Digits of each part of a number: more would be rounded, or infinite. */
const most = { whole: 15, fraction: 15, exponent: 2 } as const

type Part = keyof typeof most

/** A number after `digits` of a part, from its first byte on. */
function digitsOf(part: Part, digits: number, isZero = false): Frame {
  const isOpen = digits > 0
  return {
    key: `d${part}${digits}${isZero}`,
    isOpen,
    step(byte, below) {
      if (isDigit(byte) && digits < most[part] && !isZero) {
        const leads = part === "whole" && digits === 0 && byte === code("0")
        return [new Place(digitsOf(part, digits + 1, leads), below)]
      }
      if (!isOpen) return none
      if (part === "whole" && byte === code(".")) return [new Place(digitsOf("fraction", 0), below)]
      if (part !== "exponent" && (byte | 0x20) === code("e")) return [new Place(sign, below)]
      return none
    },
  }
}

const sign: Frame = {
  key: "sign",
  step: (byte, below, here) =>
    byte === code("+") || byte === code("-")
      ? [new Place(digitsOf("exponent", 0), below)]
      : digitsOf("exponent", 0).step(byte, below, here),
}

/** A number. */
export const number: Frame = {
  key: "number",
  step(byte, below, here) {
    const first = digitsOf("whole", 0)
    return byte === code("-") ? [new Place(first, below)] : first.step(byte, below, here)
  },
}

interface Whole {
  readonly min: number
  readonly max: number
}

/** A whole number from `min` to `max`, after its first bytes. */
export function whole(range: Whole, text = ""): Frame {
  const { min, max } = range
  const isOpen = /\d$/.test(text) && Number(text) >= min && Number(text) <= max
  return {
    key: `w${min},${max},${text}`,
    isOpen,
    step(byte, below) {
      const isSign = text === "" && byte === code("-")
      if (!isSign && (!isDigit(byte) || /^-?0$/.test(text))) return none
      const next = text + String.fromCharCode(byte)
      return leadsInto(next, range) ? [new Place(whole(range, next), below)] : none
    },
  }
}

/** Whether some number of a range begins so. */
function leadsInto(text: string, { min, max }: Whole): boolean {
  if (text === "-") return min <= 0
  const isMinus = text.startsWith("-")
  const start = Math.abs(Number(text))
  // 0 has no more digits.
  const longest = start === 0 ? 1 : String(mostWhole).length
  for (let digits = text.length - Number(isMinus), scale = 1; digits <= longest; digits++) {
    const [from, to] = [start * scale, start * scale + scale - 1]
    const [low, high] = isMinus ? [-to, -from] : [from, to]
    if (low <= max && high >= min) return true
    scale *= 10
  }
  return false
}
