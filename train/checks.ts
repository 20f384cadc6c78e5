// Checks of numbers that kernels get, as the f32 that they get them in.
import { isSingle } from "../engine/index.ts"

export const isPositive = (x: number): boolean => x > 0 && isSingle(x)
export const isNotNegative = (x: number): boolean => x >= 0 && isSingle(x)
export const isBelow1 = (x: number): boolean => isNotNegative(x) && Math.fround(x) < 1

/** Throws RangeError naming the option where `holds` does not hold of a number, or of what is none. */
export function checkNumberOf(
  name: string,
  value: number,
  holds: (x: number) => boolean,
  wanted: string,
): void {
  if (typeof value === "number" && holds(value)) return
  const inRange = typeof value === "number" && !isSingle(value) && Number.isFinite(value)
  const single = inRange ? " and in f32 within 1.2e-38 and 3.4e38" : ""
  throw new RangeError(`${name} must be ${wanted}${single}, got ${value}`)
}
