// Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3"). Only 32-bit adds, rotations and xors, so that every backend draws
// the same bits; a number depends on its key and its index alone, never on who drew before.

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const
const parity = 0x1bd11bda

/** Two words for key (k0, k1) and counter (c0, c1), all unsigned 32-bit. */
export function threefry(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ parity] as const
  let x = (c0 + k0) | 0
  let y = (c1 + k1) | 0
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8] as number
    x = (x + y) | 0
    y = ((y << r) | (y >>> (32 - r))) ^ x
    if (round % 4 === 3) {
      const injection = (round + 1) / 4
      x = (x + (keys[injection % 3] as number)) | 0
      y = (y + (keys[(injection + 1) % 3] as number) + injection) | 0
    }
  }
  return [x >>> 0, y >>> 0]
}

/** A word as a number in the open interval (0, 1), exact in float32. */
const toUnit = (word: number): number => ((word >>> 9) + 0.5) * 2 ** -23

/** u[n, k] of the stream (seed, stream). */
export const uniformAt = (seed: number, stream: number, n: number, k: number): number =>
  toUnit(threefry(seed, stream, k, n)[0])

/** z[n, k], standard normal by Box-Muller: one block gives the pair (2i, 2i + 1) of columns. */
export function normalAt(seed: number, stream: number, n: number, k: number): number {
  const [a, b] = threefry(seed, stream, k >>> 1, n)
  const radius = Math.sqrt(-2 * Math.log(toUnit(a)))
  const angle = 2 * Math.PI * toUnit(b)
  return radius * (k & 1 ? Math.sin(angle) : Math.cos(angle))
}
