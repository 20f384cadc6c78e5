// The order in which records are seen, and the learning rate of each update, as the trainers that tuned the
// release's instruct models have them.
import { checkObject, checkWhole } from "../../engine/index.ts"
import { PythonRandom } from "../../model/python/random.ts"
import { checkNumberOf, isNotNegative } from "../checks.ts"

const wordBits = 32n
const whole = (1n << 128n) - 1n
const half = (1n << 64n) - 1n
const multiplier = 0x2360ed051fc65da44385df649fccf645n

/** NumPy's default_rng: PCG64 (XSL-RR) behind SeedSequence.  O'Neill 2014 */
class Pcg64 {
  #state: bigint
  readonly #increment: bigint
  #kept: number | undefined

  constructor(seed: number) {
    const words = seedWords(seed, 8)
    const pair = (i: number): bigint =>
      BigInt(words[i] as number) | (BigInt(words[i + 1] as number) << wordBits)
    const start = (pair(0) << 64n) | pair(2)
    this.#increment = (((pair(4) << 64n) | pair(6)) << 1n) | 1n
    this.#increment &= whole
    this.#state = 0n
    this.#step()
    this.#state = (this.#state + start) & whole
    this.#step()
  }

  #step(): void {
    this.#state = (this.#state * multiplier + this.#increment) & whole
  }

  /** 32 random bits: the lower half of a draw, then the upper one. */
  word(): number {
    const kept = this.#kept
    this.#kept = undefined
    if (kept !== undefined) return kept
    this.#step()
    const mixed = ((this.#state >> 64n) ^ this.#state) & half
    const turn = this.#state >> 122n
    const drawn = ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & half
    this.#kept = Number(drawn >> wordBits)
    return Number(drawn & 0xffffffffn)
  }

  /** A whole number from 0 to `most`, by masking. */
  upTo(most: number): number {
    const mask = 2 ** (32 - Math.clz32(most)) - 1
    let value = (this.word() & mask) >>> 0
    while (value > most) value = (this.word() & mask) >>> 0
    return value
  }
}

/** Words that NumPy's SeedSequence makes of a seed below 2³². */
function seedWords(seed: number, count: number): number[] {
  let factor = 0x43b0d7e5
  const hashed = (given: number): number => {
    let value = given ^ factor
    factor = Math.imul(factor, 0x931e8875)
    value = Math.imul(value, factor)
    return (value ^ (value >>> 16)) >>> 0
  }
  const mixed = (x: number, y: number): number => {
    const value = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0
    return (value ^ (value >>> 16)) >>> 0
  }
  const pool = [seed, 0, 0, 0].map(hashed)
  for (let from = 0; from < pool.length; from++) {
    for (let to = 0; to < pool.length; to++) {
      if (from !== to) pool[to] = mixed(pool[to] as number, hashed(pool[from] as number))
    }
  }
  let other = 0x8b51f9dd
  return Array.from({ length: count }, (_, i) => {
    let value = (pool[i % pool.length] as number) ^ other
    other = Math.imul(other, 0x58f38ded)
    value = Math.imul(value, other)
    return (value ^ (value >>> 16)) >>> 0
  })
}

/** numpy.random.default_rng(seed).permutation(n): what the dataset is shuffled by, once. */
export function numpyPermutation(seed: number, n: number): number[] {
  checkWhole("numpyPermutation: seed", seed, 0, 2 ** 32 - 1)
  checkWhole("numpyPermutation: n", n, 0, 2 ** 31)
  const random = new Pcg64(seed)
  const order = Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) swap(order, i, random.upTo(i))
  return order
}

/** torch.randperm(n) of a generator with a seed: the order of an epoch, seeded by the run's seed and its
 *  number. */
export function torchPermutation(seed: number, n: number): number[] {
  checkWhole("torchPermutation: seed", seed, 0, 2 ** 32 - 1)
  checkWhole("torchPermutation: n", n, 0, 2 ** 31)
  const random = PythonRandom.ofWord(seed)
  const order = Array.from({ length: n }, (_, i) => i)
  for (let i = 0; i < n - 1; i++) swap(order, i, i + (random.bits(32) % (n - i)))
  return order
}

function swap(list: number[], i: number, j: number): void {
  const kept = list[i] as number
  list[i] = list[j] as number
  list[j] = kept
}

/** Half a cosine after a warm-up. */
export interface CosineSchedule {
  /** The largest rate. */
  readonly lr: number
  /** Updates in all. */
  readonly total: number
  /** Part of them that warms up; default 0.1. */
  readonly warmupRatio?: number
}

/** Learning rate of update i, from 0: a straight warm-up from 0, so that the first is 0, then half a cosine to
 *  0, over `total` updates.  transformers' get_cosine_schedule_with_warmup */
export function cosineRate(i: number, schedule: CosineSchedule): number {
  checkWhole("cosineRate: the update", i, 0)
  checkObject("cosineRate: the schedule", schedule)
  const { lr, total, warmupRatio = 0.1 } = schedule
  checkNumberOf("cosineRate: lr of the schedule", lr, isNotNegative, "0 or more")
  checkNumberOf("cosineRate: warmupRatio of the schedule", warmupRatio, isNotNegative, "0 or more")
  checkWhole("cosineRate: total of the schedule", total, 1)
  const warm = Math.ceil(total * warmupRatio)
  if (i < warm) return (lr * i) / Math.max(1, warm)
  const done = (i - warm) / Math.max(1, total - warm)
  return lr * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * done)))
}
