// SHA-256 of bytes that come piece by piece (FIPS 180-4), for pages: their own digest takes all at once.

/** The first 32 bits of the fractions of the cube roots of the first 64 primes, and of the square roots of
 *  the first 8. */
const { rounds, start } = constants()

export class Sha256 {
  readonly #state = Int32Array.from(start, (x) => x | 0)
  readonly #words = new Int32Array(64)
  readonly #block = new Uint8Array(64)
  #length = 0

  update(bytes: Uint8Array): void {
    let at = 0
    for (let used = this.#length % 64; at < bytes.length; used = 0) {
      if (used === 0 && bytes.length - at >= 64) {
        this.#compress(bytes, at)
        at += 64
        continue
      }
      const count = Math.min(64 - used, bytes.length - at)
      this.#block.set(bytes.subarray(at, at + count), used)
      at += count
      if (used + count === 64) this.#compress(this.#block, 0)
    }
    this.#length += bytes.length
  }

  /** In hexadecimal digits. Nothing may be added after it. */
  digest(): string {
    const bits = 8 * this.#length
    const padding = new Uint8Array(((119 - (this.#length % 64)) % 64) + 9)
    padding[0] = 0x80
    const view = new DataView(padding.buffer)
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32))
    view.setUint32(padding.length - 4, bits % 2 ** 32)
    this.update(padding)
    return Array.from(this.#state, (x) => (x >>> 0).toString(16).padStart(8, "0")).join("")
  }

  #compress(bytes: Uint8Array, at: number): void {
    const w = this.#words
    for (let i = 0; i < 16; i++) {
      const j = at + 4 * i
      w[i] =
        ((bytes[j] as number) << 24) |
        ((bytes[j + 1] as number) << 16) |
        ((bytes[j + 2] as number) << 8) |
        (bytes[j + 3] as number)
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15] as number
      const y = w[i - 2] as number
      const a = turned(x, 7) ^ turned(x, 18) ^ (x >>> 3)
      const b = turned(y, 17) ^ turned(y, 19) ^ (y >>> 10)
      w[i] = ((w[i - 16] as number) + a + (w[i - 7] as number) + b) | 0
    }
    const state = this.#state
    let a = state[0] as number
    let b = state[1] as number
    let c = state[2] as number
    let d = state[3] as number
    let e = state[4] as number
    let f = state[5] as number
    let g = state[6] as number
    let h = state[7] as number
    for (let i = 0; i < 64; i++) {
      const choice = (e & f) ^ (~e & g)
      const major = (a & b) ^ (a & c) ^ (b & c)
      const one = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
      const t = (h + one + choice + (rounds[i] as number) + (w[i] as number)) | 0
      const two = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
      h = g
      g = f
      f = e
      e = (d + t) | 0
      d = c
      c = b
      b = a
      a = (t + two + major) | 0
    }
    state[0] = (state[0] as number) + a
    state[1] = (state[1] as number) + b
    state[2] = (state[2] as number) + c
    state[3] = (state[3] as number) + d
    state[4] = (state[4] as number) + e
    state[5] = (state[5] as number) + f
    state[6] = (state[6] as number) + g
    state[7] = (state[7] as number) + h
  }
}

/** Turned right by so many of its 32 bits. */
const turned = (x: number, bits: number): number => (x >>> bits) | (x << (32 - bits))

function constants(): { rounds: Int32Array; start: readonly number[] } {
  const primes: number[] = []
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n)
  const fraction = (x: number): number => Math.floor((x - Math.floor(x)) * 2 ** 32)
  return {
    rounds: Int32Array.from(primes, (p) => fraction(Math.cbrt(p)) | 0),
    start: primes.slice(0, 8).map((p) => fraction(Math.sqrt(p))),
  }
}
