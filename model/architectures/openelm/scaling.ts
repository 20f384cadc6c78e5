// Layer-wise scaling: narrow layers first, wide ones last (Mehta et al. 2024, section 2.1, arXiv
// 2404.14619). What the multipliers multiply is config.ts.
import { roundEven } from "../../../engine/index.ts"
import { show } from "../../json.ts"

/** One multiplier for all layers, a range [first, last], or one per layer (for ffn only, if other
 *  programs are to read the config). Two numbers are always a range. */
export type Multipliers = number | readonly number[]

/** Throws TypeError or RangeError that names what is no multipliers. */
export function checkMultipliers(name: string, given: unknown, layers: number): void {
  const expected = `${name} is ${show(given)}, expected a number, [first, last] or ${layers} numbers`
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.some((m) => typeof m !== "number")) throw new TypeError(expected)
  const lengthFits = !Array.isArray(given) || list.length === 2 || list.length === layers
  if (lengthFits && list.every((m) => (m as number) > 0 && (m as number) <= 1e6)) return
  throw new RangeError(`${expected}, each above 0 and at most 1000000`)
}

/** The multiplier of every layer; a range is spread evenly and rounded to two decimals. */
export function perLayer(given: Multipliers, layers: number): readonly number[] {
  if (typeof given === "number") return Array<number>(layers).fill(given)
  if (given.length !== 2) return given
  const [first, last] = given as readonly [number, number]
  const step = (last - first) / Math.max(layers - 1, 1)
  // The released sizes depend on the rounding: without it, heads and widths change in eight layers.
  return Array.from(
    { length: layers },
    (_, i) => roundEven(100 * (i > 0 && i === layers - 1 ? last : first + i * step)) / 100,
  )
}

/** The multiple of `divisor` nearest to v, at least one, and not below 0.9 v. */
export function makeDivisible(v: number, divisor: number): number {
  const nearest = Math.floor(Math.trunc(v + divisor / 2) / divisor) * divisor
  const n = Math.max(divisor, nearest)
  return n < 0.9 * v ? n + divisor : n
}
