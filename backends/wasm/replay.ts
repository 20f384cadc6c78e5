// Makes a plan ready on one or more instances: every step runs in that which holds its largest bound
// tensor, and what lies in another is copied over before the segment of steps that reads it.
import {
  encode,
  inStages,
  isOwn,
  isWord,
  type Place,
  type Plan,
  type Step,
  type Storage,
} from "../../engine/index.ts"
import type { WasmBuffer } from "./buffer.ts"
import type { Instance } from "./instance.ts"
import type { Reclaim, Region } from "./reclaim.ts"

const stepBytes = 128
const stepWords = stepBytes / 4

interface Copy {
  readonly from: Instance
  readonly fromAddress: number
  readonly to: Instance
  readonly toAddress: number
  readonly bytes: number
}

/** Consecutive steps in one instance, what has to be brought there first, and what home after. */
interface Segment {
  readonly instance: Instance
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
  /** The same by stages of the plan. */
  readonly #stages: (readonly Segment[])[] = []
  readonly #arenas = new Map<Instance, number>()
  readonly #seen: Instance[] = []
  /** Constants, and mirrors of parts of bound buffers of other instances, by instance and part. */
  readonly #local = new Map<Storage, Map<string, number>>()
  /** The instances in which the present value of an arena storage lies. */
  readonly #holders = new Map<Storage, Set<Instance>>()
  /** Mirrors that hold what their home does. */
  readonly #fresh = new Map<Storage, Set<string>>()

  constructor(plan: Plan, kernel: (name: string) => number, first: Instance, reclaim: Reclaim) {
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

  get instances(): Instance[] {
    return [...new Set(this.#segments.map((s) => s.instance))]
  }

  /** A promise where the caller is none of the threads. */
  run(stage?: number): void | Promise<void> {
    const segments = stage === undefined ? this.#segments : (this.#stages[stage] as Segment[])
    if (segments.some(({ instance }) => !instance.takesPart)) return this.#runElsewhere(segments)
    for (const { instance, before, after, words, steps } of segments) {
      for (const copy of before) move(copy)
      // No promise where the caller takes part.
      void instance.run(steps, words.length)
      for (const copy of after) move(copy)
    }
  }

  async #runElsewhere(segments: readonly Segment[]): Promise<void> {
    for (const { instance, before, after, words, steps } of segments) {
      for (const copy of before) move(copy)
      await instance.run(steps, words.length)
      for (const copy of after) move(copy)
    }
  }

  close(): void {
    for (const region of this.#regions.splice(0)) this.#reclaim.free(region)
  }

  #build(first: Instance): void {
    let last = first
    for (const steps of inStages(this.#plan.steps, this.#plan)) {
      const before = this.#segments.length
      // What lies in bound memory may have been written since the stage before.
      this.#fresh.clear()
      let segment: Segment | undefined
      for (const step of steps) {
        const instance = homeOf(step) ?? last
        last = instance
        if (!segment || segment.instance !== instance || segment.after.length > 0) {
          segment = { instance, before: [], after: [], words: [], steps: 0 }
          this.#segments.push(segment)
        }
        segment.words.push(this.#describe(step, segment))
      }
      this.#stages.push(this.#segments.slice(before))
    }
    for (const each of this.#segments) {
      each.steps = this.#take(each.instance, each.words.length * stepBytes)
      each.words.forEach((data, i) => {
        each.instance.store(each.steps + i * stepBytes, data)
      })
    }
  }

  #take(instance: Instance, bytes: number): number {
    const address = instance.heap.alloc(bytes)
    this.#regions.push({ instance, address, bytes })
    instance.heap.touch(address + bytes)
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
    for (const place of own) words[at++] = this.#addressOf(place, segment.instance)
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

  /** Address of a tensor that a step reads, brought into the segment's instance if it is not there. */
  #read(place: Place, segment: Segment): number {
    const { storage } = place
    const { instance } = segment
    const address = this.#addressOf(place, instance)
    if (storage.kind === "arena") {
      const holders = this.#holders.get(storage) ?? new Set()
      const [from] = holders
      if (from && !holders.has(instance)) {
        segment.before.push(this.#copy(place, from, instance))
        holders.add(instance)
      }
    } else if (storage.buffer && homeOfStorage(storage) !== instance) {
      const fresh = this.#freshOf(storage)
      const key = this.#keyOf(place, instance)
      if (!fresh.has(key)) segment.before.push(this.#copy(place, homeOfStorage(storage), instance))
      fresh.add(key)
    }
    return address
  }

  /** Notes where a new value lies; one that belongs to another instance is copied there at once. */
  #written(place: Place, segment: Segment): void {
    const { storage } = place
    const { instance } = segment
    if (storage.kind === "arena") {
      this.#holders.set(storage, new Set([instance]))
      return
    }
    // Other mirrors of this buffer may overlap what has changed.
    this.#freshOf(storage).clear()
    const home = homeOfStorage(storage)
    if (home === instance) return
    segment.after.push(this.#copy(place, instance, home))
    this.#freshOf(storage).add(this.#keyOf(place, instance))
  }

  #freshOf(storage: Storage): Set<string> {
    const known = this.#fresh.get(storage) ?? new Set<string>()
    this.#fresh.set(storage, known)
    return known
  }

  #keyOf({ offset, tensor }: Place, instance: Instance): string {
    return `${this.#instanceNumber(instance)} ${offset} ${tensor.bytes}`
  }

  #instanceNumber(instance: Instance): number {
    if (!this.#seen.includes(instance)) this.#seen.push(instance)
    return this.#seen.indexOf(instance)
  }

  /** A copy of one tensor between two instances. */
  #copy(place: Place, from: Instance, to: Instance): Copy {
    const [fromAddress, toAddress] = [this.#addressOf(place, from), this.#addressOf(place, to)]
    return { from, fromAddress, to, toAddress, bytes: place.tensor.bytes }
  }

  #addressOf(place: Place, instance: Instance): number {
    const { storage, offset } = place
    if (storage.kind === "arena") return this.#arenaOf(instance) + storage.arenaOffset
    if (storage.buffer) {
      const { instance: home, address, bytes } = storage.buffer as WasmBuffer
      home.heap.touch(address + bytes)
      if (home === instance) return address + offset
    }
    return this.#localOf(place, instance)
  }

  /** A plan's arena is laid out alike in every instance. */
  #arenaOf(instance: Instance): number {
    const known = this.#arenas.get(instance)
    if (known !== undefined) return known
    const address = this.#take(instance, this.#plan.arenaBytes)
    this.#arenas.set(instance, address)
    return address
  }

  /** Address of a constant, or of the mirror of a tensor of another instance. */
  #localOf(place: Place, instance: Instance): number {
    const { storage, tensor } = place
    const all = this.#local.get(storage) ?? new Map<string, number>()
    this.#local.set(storage, all)
    const key = this.#keyOf(place, instance)
    let address = all.get(key)
    if (address === undefined) {
      address = this.#take(instance, tensor.bytes)
      all.set(key, address)
      const { data, dtype } = storage
      if (data) instance.store(address, data instanceof Float64Array ? encode(dtype, data) : data)
    }
    return address
  }
}

function move({ from, fromAddress, to, toAddress, bytes }: Copy): void {
  to.view(toAddress, bytes).set(from.view(fromAddress, bytes))
}

const homeOfStorage = ({ buffer }: Storage): Instance => (buffer as WasmBuffer).instance

/** The instance of the step's largest bound tensor; undefined when it has none. */
function homeOf({ inputs, outputs }: Step): Instance | undefined {
  const bound = [...inputs, ...outputs].filter(({ storage }) => storage.buffer)
  const [largest] = bound.sort((a, b) => b.tensor.bytes - a.tensor.bytes)
  return largest && homeOfStorage(largest.storage)
}
