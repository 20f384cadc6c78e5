// Makes a plan ready on one or more banks: every step runs in the bank that holds its largest bound
// tensor, and what lies in another bank is copied over before the segment of steps that reads it.
import {
  encode,
  isOwn,
  isWord,
  type Place,
  type Plan,
  type Step,
  type Storage,
} from "../../engine/index.ts"
import type { Bank } from "./bank.ts"
import type { WasmBuffer } from "./buffer.ts"
import type { Reclaim, Region } from "./reclaim.ts"

const stepBytes = 128
const stepWords = stepBytes / 4

interface Copy {
  readonly from: Bank
  readonly fromAddress: number
  readonly to: Bank
  readonly toAddress: number
  readonly bytes: number
}

/** Consecutive steps in one bank, what has to be brought there first, and what home afterwards. */
interface Segment {
  readonly bank: Bank
  readonly before: Copy[]
  readonly after: Copy[]
  readonly words: Uint32Array[]
  steps: number
}

export class Replay {
  readonly #plan: Plan
  readonly #kernel: (name: string) => number
  readonly #reclaim: Reclaim
  readonly #regions: Region[] = []
  readonly #segments: Segment[] = []
  readonly #arenas = new Map<Bank, number>()
  readonly #seen: Bank[] = []
  /** Constants, and mirrors of parts of bound buffers of other banks, by bank and part. */
  readonly #local = new Map<Storage, Map<string, number>>()
  /** The banks in which the present value of an arena storage lies. */
  readonly #holders = new Map<Storage, Set<Bank>>()
  /** Mirrors that hold what their home does. */
  readonly #fresh = new Map<Storage, Set<string>>()

  constructor(plan: Plan, kernel: (name: string) => number, first: Bank, reclaim: Reclaim) {
    this.#plan = plan
    this.#kernel = kernel
    this.#reclaim = reclaim
    try {
      this.#build(first)
    } catch (error) {
      this.close()
      throw error
    }
  }

  get banks(): Bank[] {
    return [...new Set(this.#segments.map((s) => s.bank))]
  }

  /** A promise where the caller is none of the threads. */
  run(): void | Promise<void> {
    if (this.#segments.some(({ bank }) => !bank.takesPart)) return this.#runElsewhere()
    for (const { bank, before, after, words, steps } of this.#segments) {
      for (const copy of before) move(copy)
      // No promise where the caller takes part.
      void bank.run(steps, words.length)
      for (const copy of after) move(copy)
    }
  }

  async #runElsewhere(): Promise<void> {
    for (const { bank, before, after, words, steps } of this.#segments) {
      for (const copy of before) move(copy)
      await bank.run(steps, words.length)
      for (const copy of after) move(copy)
    }
  }

  close(): void {
    for (const region of this.#regions.splice(0)) this.#reclaim.free(region)
  }

  #build(first: Bank): void {
    let segment: Segment | undefined
    for (const step of this.#plan.steps) {
      const bank = homeOf(step) ?? segment?.bank ?? first
      if (!segment || segment.bank !== bank || segment.after.length > 0) {
        segment = { bank, before: [], after: [], words: [], steps: 0 }
        this.#segments.push(segment)
      }
      segment.words.push(this.#describe(step, segment))
    }
    for (const each of this.#segments) {
      each.steps = this.#take(each.bank, each.words.length * stepBytes)
      each.words.forEach((data, i) => {
        each.bank.store(each.steps + i * stepBytes, data)
      })
    }
  }

  #take(bank: Bank, bytes: number): number {
    const address = bank.heap.alloc(bytes)
    this.#regions.push({ bank, address, bytes })
    bank.heap.touch(address + bytes)
    return address
  }

  /** Kernel, rows and arguments of a step as the run loop reads them (run.as.ts). */
  #describe({ op, call, inputs, outputs }: Step, segment: Segment): Uint32Array {
    const words = new Uint32Array(stepWords)
    const floats = new Float32Array(words.buffer)
    words[0] = this.#kernel(op.name)
    words[1] = op.rows(call.params)
    const own = outputs.filter((_, i) => isOwn(op, op.outputs[i] as string))
    let at = 2
    for (const place of inputs) words[at++] = this.#read(place, segment)
    for (const place of own) words[at++] = this.#addressOf(place, segment.bank)
    for (const place of outputs) this.#written(place, segment)
    for (const name of op.params) {
      const value = call.params[name] as number
      if (isWord(name)) words[at++] = value
      else floats[at++] = value
    }
    if (at > stepWords)
      throw new RangeError(`wasm: ${op.name} has more than ${stepWords - 2} arguments`)
    return words
  }

  /** Address of a tensor that a step reads, brought into the segment's bank if it is not there. */
  #read(place: Place, segment: Segment): number {
    const { storage } = place
    const { bank } = segment
    const address = this.#addressOf(place, bank)
    if (storage.kind === "arena") {
      const holders = this.#holders.get(storage) ?? new Set()
      const [from] = holders
      if (from && !holders.has(bank)) {
        segment.before.push(this.#copy(place, from, bank))
        holders.add(bank)
      }
    } else if (storage.buffer && homeOfStorage(storage) !== bank) {
      const fresh = this.#freshOf(storage)
      const key = this.#keyOf(place, bank)
      if (!fresh.has(key)) segment.before.push(this.#copy(place, homeOfStorage(storage), bank))
      fresh.add(key)
    }
    return address
  }

  /** Notes where a new value lies; one that belongs to another bank is copied there at once. */
  #written(place: Place, segment: Segment): void {
    const { storage } = place
    const { bank } = segment
    if (storage.kind === "arena") {
      this.#holders.set(storage, new Set([bank]))
      return
    }
    // Other mirrors of this buffer may overlap what has changed.
    this.#freshOf(storage).clear()
    const home = homeOfStorage(storage)
    if (home === bank) return
    segment.after.push(this.#copy(place, bank, home))
    this.#freshOf(storage).add(this.#keyOf(place, bank))
  }

  #freshOf(storage: Storage): Set<string> {
    const known = this.#fresh.get(storage) ?? new Set<string>()
    this.#fresh.set(storage, known)
    return known
  }

  #keyOf({ offset, tensor }: Place, bank: Bank): string {
    return `${this.#bankNumber(bank)} ${offset} ${tensor.bytes}`
  }

  #bankNumber(bank: Bank): number {
    if (!this.#seen.includes(bank)) this.#seen.push(bank)
    return this.#seen.indexOf(bank)
  }

  /** A copy of one tensor between two banks. */
  #copy(place: Place, from: Bank, to: Bank): Copy {
    const [fromAddress, toAddress] = [this.#addressOf(place, from), this.#addressOf(place, to)]
    return { from, fromAddress, to, toAddress, bytes: place.tensor.bytes }
  }

  #addressOf(place: Place, bank: Bank): number {
    const { storage, offset } = place
    if (storage.kind === "arena") return this.#arenaOf(bank) + storage.arenaOffset
    if (storage.buffer) {
      const { bank: home, address, bytes } = storage.buffer as WasmBuffer
      home.heap.touch(address + bytes)
      if (home === bank) return address + offset
    }
    return this.#localOf(place, bank)
  }

  /** A plan's arena is laid out alike in every bank. */
  #arenaOf(bank: Bank): number {
    const known = this.#arenas.get(bank)
    if (known !== undefined) return known
    const address = this.#take(bank, this.#plan.arenaBytes)
    this.#arenas.set(bank, address)
    return address
  }

  /** Address of a constant, or of the mirror of a tensor of another bank. */
  #localOf(place: Place, bank: Bank): number {
    const { storage, tensor } = place
    const all = this.#local.get(storage) ?? new Map<string, number>()
    this.#local.set(storage, all)
    const key = this.#keyOf(place, bank)
    let address = all.get(key)
    if (address === undefined) {
      address = this.#take(bank, tensor.bytes)
      all.set(key, address)
      const { data, dtype } = storage
      if (data) bank.store(address, data instanceof Float64Array ? encode(dtype, data) : data)
    }
    return address
  }
}

function move({ from, fromAddress, to, toAddress, bytes }: Copy): void {
  to.view(toAddress, bytes).set(from.view(fromAddress, bytes))
}

const homeOfStorage = ({ buffer }: Storage): Bank => (buffer as WasmBuffer).bank

/** The bank of the step's largest bound tensor; undefined when it has none. */
function homeOf({ inputs, outputs }: Step): Bank | undefined {
  const bound = [...inputs, ...outputs].filter(({ storage }) => storage.buffer)
  const [largest] = bound.sort((a, b) => b.tensor.bytes - a.tensor.bytes)
  return largest && homeOfStorage(largest.storage)
}
