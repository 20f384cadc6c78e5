// Python's random.Random to the bit: the original shuffles its files with it, so its order is only
// had by the same Mersenne Twister (Matsumoto & Nishimura 1998) and the same use of its numbers.

const length = 624
const middle = 397

/** State of a generator: 624 words, then the position in them; Python's getstate()[1]. */
type RandomState = readonly number[]

export class PythonRandom {
  readonly #words = new Uint32Array(length)
  #position = length

  /**
   * A generator as `random.Random(seed)`; seeds are whole numbers of either sign (the sign is
   * dropped, as Python does). A list of 32-bit words seeds one of its own.
   */
  constructor(seed: number | bigint | readonly number[]) {
    this.#seedByWords(Array.isArray(seed) ? seed : wordsOf(seed as number | bigint))
  }

  /** A generator as the Mersenne Twister is seeded by one word, as torch's is. */
  static ofWord(seed: number): PythonRandom {
    const random = new PythonRandom(0)
    random.#seedByWord(seed)
    return random
  }

  static fromState(state: RandomState): PythonRandom {
    const position = state[length]
    const whole = state.every((x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32)
    if (state.length !== length + 1 || !whole || (position as number) > length) {
      throw new RangeError(
        `state of a generator: expected ${length} words and a position, got ${state.length} numbers`,
      )
    }
    const random = new PythonRandom(0)
    random.#words.set(state.slice(0, length))
    random.#position = position as number
    return random
  }

  state(): RandomState {
    return [...this.#words, this.#position]
  }

  /** A whole number of `count` random bits, 1 to 53, as `getrandbits`: the lowest 32 come first. */
  bits(count: number): number {
    if (count <= 32) return this.#next() >>> (32 - count)
    const low = this.#next()
    return low + this.bits(count - 32) * 2 ** 32
  }

  /** A number from 0 to 1, 1 left out, with 53 random bits. */
  uniform(): number {
    const high = this.#next() >>> 5
    const low = this.#next() >>> 6
    return (high * 2 ** 26 + low) / 2 ** 53
  }

  /** A whole number from 0 to `limit`, `limit` left out. */
  below(limit: number): number {
    const count = limit < 2 ** 32 ? 32 - Math.clz32(limit) : 64 - Math.clz32(limit / 2 ** 32)
    let number = this.bits(count)
    while (number >= limit) number = this.bits(count)
    return number
  }

  /** In place, as `random.shuffle`. */
  shuffle<T>(list: T[]): void {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const moved = list[i] as T
      list[i] = list[j] as T
      list[j] = moved
    }
  }

  /** `count` members, one by one and each from all, as `random.choices`. */
  choices<T>(list: readonly T[], count: number): T[] {
    if (list.length === 0) throw new RangeError("choices: expected a list with members, got none")
    return Array.from({ length: count }, () => {
      return list[Math.floor(this.uniform() * list.length)] as T
    })
  }

  /** Positions of `count` members of a list of `size`, none twice, as `random.sample` draws them. */
  sample(size: number, count: number): number[] {
    if (!(count >= 0 && count <= size)) {
      throw new RangeError(`sample: ${count} are to be drawn of ${size}`)
    }
    // Where a set of what is drawn takes less memory than the list, draws are repeated instead.
    const most = 21 + (count > 5 ? powerOf4(3 * count) : 0)
    if (size <= most) return this.#drawn(size, count)
    const found = new Set<number>()
    while (found.size < count) found.add(this.below(size))
    return [...found]
  }

  #drawn(size: number, count: number): number[] {
    const pool = Array.from({ length: size }, (_, i) => i)
    return Array.from({ length: count }, (_, i) => {
      const at = this.below(size - i)
      const found = pool[at] as number
      pool[at] = pool[size - i - 1] as number
      return found
    })
  }

  #seedByWords(key: readonly number[]): void {
    const words = this.#words
    this.#seedByWord(19650218)
    let i = 1
    const advance = (): void => {
      if (++i < length) return
      words[0] = words[length - 1] as number
      i = 1
    }
    for (let k = 0; k < Math.max(length, key.length); k++) {
      const j = k % key.length
      words[i] = ((words[i] as number) ^ Math.imul(mixed(words, i), 1664525)) + (key[j] ?? 0) + j
      advance()
    }
    for (let k = 1; k < length; k++) {
      words[i] = ((words[i] as number) ^ Math.imul(mixed(words, i), 1566083941)) - i
      advance()
    }
    words[0] = 0x80000000
  }

  #seedByWord(seed: number): void {
    const words = this.#words
    words[0] = seed
    for (let i = 1; i < length; i++) words[i] = Math.imul(1812433253, mixed(words, i)) + i
    this.#position = length
  }

  #next(): number {
    if (this.#position === length) this.#twist()
    let y = this.#words[this.#position++] as number
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  #twist(): void {
    const words = this.#words
    for (let i = 0; i < length; i++) {
      const next = words[(i + 1) % length] as number
      const y = ((words[i] as number) & 0x80000000) | (next & 0x7fffffff)
      const odd = y & 1 ? 0x9908b0df : 0
      words[i] = (words[(i + middle) % length] as number) ^ (y >>> 1) ^ odd
    }
    this.#position = 0
  }
}

/** The word before the i-th with its upper bits folded in. */
function mixed(words: Uint32Array, i: number): number {
  const before = words[i - 1] as number
  return before ^ (before >>> 30)
}

/** The least power of 4 that is no less. */
function powerOf4(least: number): number {
  let power = 1
  while (power < least) power *= 4
  return power
}

/** A whole number in words of 32 bits, the lowest first. */
function wordsOf(seed: number | bigint): number[] {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw new RangeError(`seed is ${seed}, expected a whole number below 2^53, or a bigint`)
  }
  let rest = BigInt(seed)
  if (rest < 0n) rest = -rest
  const words: number[] = []
  do {
    words.push(Number(rest & 0xffffffffn))
    rest >>= 32n
  } while (rest > 0n)
  return words
}
