// Memory of one WebAssembly instance: who owns which bytes of its 32-bit address space.
import { alignUp } from "../../engine/index.ts"

const pageBytes = 65536
/** Everything below belongs to the module: its static data and the words that threads share. */
const reserved = 1 << 20
export const addressSpace = 65536 * pageBytes
/** Less than this is no use to a model. */
const leastSpace = 256 << 20
/** Never given out, so that the address after any tensor is still a 32-bit number. */
const endGuard = 64

/** A memory that may grow to `bytes`, or to as much as the system has addresses for: phones give
 *  shared memory little. Throws RangeError where there is next to nothing. */
export function reserve(bytes: number, shared: boolean): Heap {
  try {
    const maximum = Math.ceil(bytes / pageBytes)
    return new Heap(new WebAssembly.Memory({ initial: 32, maximum, shared }), bytes)
  } catch (error) {
    if (bytes < 2 * leastSpace) throw error
    return reserve(bytes / 2, shared)
  }
}

export class Heap {
  readonly memory: WebAssembly.Memory
  readonly #limit: number
  /** Free regions, address → bytes, in rising order; the last reaches to the end of what has grown. */
  #free: { address: number; bytes: number }[] = []
  /** Bytes given out and not yet freed. */
  used = 0
  #top = reserved

  constructor(memory: WebAssembly.Memory, limit: number) {
    this.memory = memory
    this.#limit = limit
  }

  /** Address of zeroed bytes, 64-byte aligned. Throws RangeError when 4 GiB do not hold them. */
  alloc(bytes: number): number {
    const need = Math.max(alignUp(bytes), alignUp(1))
    const index = this.#free.findIndex((region) => region.bytes >= need)
    const address = index >= 0 ? this.#take(index, need) : this.#extend(need)
    this.used += need
    return address
  }

  /** Whether `bytes` more fit. */
  fits(bytes: number): boolean {
    const need = Math.max(alignUp(bytes), alignUp(1))
    return (
      this.#top + need <= this.#limit - endGuard ||
      this.#free.some((region) => region.bytes >= need)
    )
  }

  /** Whether `bytes` fit between what is in use. */
  hasGap(bytes: number): boolean {
    return this.#free.some((region) => region.bytes >= alignUp(bytes))
  }

  free(address: number, bytes: number): void {
    const size = Math.max(alignUp(bytes), alignUp(1))
    this.used -= size
    const at = this.#free.findIndex((region) => region.address > address)
    this.#free.splice(at < 0 ? this.#free.length : at, 0, { address, bytes: size })
    this.#free = this.#free.reduce<{ address: number; bytes: number }[]>((merged, region) => {
      const last = merged.at(-1)
      if (last && last.address + last.bytes === region.address) last.bytes += region.bytes
      else merged.push({ ...region })
      return merged
    }, [])
    const last = this.#free.at(-1)
    if (last && last.address + last.bytes === this.#top) {
      this.#top = last.address
      this.#free.pop()
    }
  }

  #take(index: number, need: number): number {
    const region = this.#free[index] as { address: number; bytes: number }
    const { address } = region
    region.address += need
    region.bytes -= need
    if (region.bytes === 0) this.#free.splice(index, 1)
    this.#clear(address, address + need)
    return address
  }

  #extend(need: number): number {
    const address = this.#top
    const end = address + need
    const grown = this.memory.buffer.byteLength
    if (end > this.#limit - endGuard) {
      throw new RangeError(
        `wasm: ${need} bytes do not fit, ${this.used} of ${this.#limit} are in use`,
      )
    }
    if (end > grown) this.#grow(Math.ceil((end - grown) / pageBytes))
    this.#clear(address, end)
    this.#top = end
    return address
  }

  /** Says that memory below `end` is written, or will be by a plan. */
  touch(end: number): void {
    this.#touched = Math.max(this.#touched, end)
  }

  /** Memory from here on still has the zeros that it was born with. */
  #touched = reserved

  #clear(address: number, end: number): void {
    const bytes = Math.min(end, this.#touched) - address
    if (bytes > 0) new Uint8Array(this.memory.buffer, address, bytes).fill(0)
  }

  #grow(pages: number): void {
    try {
      this.memory.grow(pages)
    } catch {
      throw new RangeError(
        `wasm: the system gave no ${pages * pageBytes} bytes more, ${this.used} are in use. ` +
          "Free memory, or use a smaller model or dtype",
      )
    }
  }
}
