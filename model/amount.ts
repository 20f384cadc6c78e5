// Amounts as people write and read them.

const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const

/** A decimal number, with an exponent or without: 12, .5, 1e-3. NaN for every other text. */
export const decimal = (text: string): number =>
  /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN

/** A number with three digits or all of its whole ones, never an exponent: 0.0123, 78.9, 1050. */
export function threeDigits(x: number): string {
  if (!(Math.abs(x) > 0 && Number.isFinite(x))) return String(x)
  return x.toFixed(Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(x))))))
}

/** Bytes in the largest unit of which there is one or more: 512 B, 1.50 KiB, 2.53 GiB. */
export function bytesText(bytes: number): string {
  let [amount, unit] = [bytes, 0]
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1024
    unit++
  }
  return `${unit === 0 ? bytes : threeDigits(amount)} ${units[unit]}`
}
