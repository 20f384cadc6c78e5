// Checks of what processors are given, in options and in files.
import { checkNumber, isObject, show } from "../../json.ts"
import type { Processor, Range, Vocabulary } from "./processor.ts"

/** A processor whose option is a number. */
export const numeric = (
  processor: Omit<Processor<number>, "check"> & { readonly range: Range },
): Processor<number> => ({
  ...processor,
  check(given, name) {
    checkRange(name, given, processor.range)
    return given
  },
})

/** Throws TypeError or RangeError for what is no number of a range. */
export function checkRange(name: string, given: unknown, range: Range): asserts given is number {
  const { from, above, to = Number.POSITIVE_INFINITY, isWhole = false } = range
  const kind = isWhole ? "a whole number" : "a number"
  const least = above === undefined ? `from ${from ?? "any"}` : `above ${above}`
  const expected = `${kind} ${least}${to < Number.POSITIVE_INFINITY ? ` to ${to}` : ""}`
  if (typeof given !== "number") {
    throw new TypeError(`${name} is ${show(given)}, expected ${expected}`)
  }
  const isHigh = above === undefined ? given >= (from ?? -Infinity) : given > above
  if (isHigh && given <= to && Number.isFinite(given) && (!isWhole || Number.isInteger(given)))
    return
  throw new RangeError(`${name} is ${show(given)}, expected ${expected}`)
}

/** A list of token ids, not empty unless that is allowed. */
export function checkIdList(
  name: string,
  given: unknown,
  { size }: Pick<Vocabulary, "size">,
  mayBeEmpty = false,
): readonly number[] {
  if (!Array.isArray(given)) {
    throw new TypeError(`${name} is ${show(given)}, expected a list of token ids`)
  }
  if (given.length === 0 && !mayBeEmpty) {
    throw new RangeError(`${name} is empty, expected one token id or more`)
  }
  for (const id of given) checkNumber(`${name}: an id`, id, 0, size - 1, true)
  return given as readonly number[]
}

/** The entries of an object. */
export function checkEntries(name: string, given: unknown, of: string): [string, unknown][] {
  if (isObject(given)) return Object.entries(given)
  throw new TypeError(`${name} is ${show(given)}, expected ${of}`)
}
