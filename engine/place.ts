// Gives every value of a plan its memory: views share, in-place ops take over their input's memory,
// results are written straight into their update's target, and a copy goes in wherever someone
// still needs what would be overwritten.
import type { Buffer } from "./backend.ts"
import type { DType, TypedArray } from "./dtype.ts"
import { checkFreed } from "./lifetime.ts"
import { type Call, newCall } from "./op.ts"
import { copyOp } from "./plain.ts"
import type { Step, Update } from "./plan.ts"
import type { Tensor } from "./tensor.ts"

/** A region of memory: part of the arena, a bound buffer, or numbers embedded in the plan. */
export interface Storage {
  readonly kind: "arena" | "bound" | "constant"
  readonly bytes: number
  readonly dtype: DType
  readonly buffer?: Buffer
  readonly data?: TypedArray
  /** Byte offset in the arena, set when the arena is laid out. */
  arenaOffset: number
}

/** Where a tensor lies while a plan runs. */
export interface Place {
  readonly tensor: Tensor
  readonly storage: Storage
  /** Byte offset inside a bound buffer; 0 elsewhere. */
  readonly offset: number
}

/** A stage of a plan: what it computes, and what its targets hold in the end. */
interface PlacedStage {
  readonly calls: readonly Call[]
  readonly updates: readonly Update[]
}

export class Placer {
  readonly #stages: readonly PlacedStage[]
  /** Of each stage the number of calls up to its end. */
  readonly #ends: readonly number[]
  readonly #places = new Map<Tensor, Place>()
  readonly #bound = new Map<Buffer, Storage>()
  readonly #steps: Step[] = []
  /** Index of the last call that reads a tensor; updates read after the last call of their stage. */
  readonly #lastRead = new Map<Tensor, number>()
  /** The tensor that a view or an in-place op makes of a tensor. */
  readonly #successor = new Map<Tensor, Tensor>()

  constructor(stages: readonly PlacedStage[]) {
    this.#stages = stages
    let end = 0
    this.#ends = stages.map(({ calls }) => {
      end += calls.length
      return end
    })
    const all = stages.flatMap(({ calls }) => calls)
    all.forEach((call, i) => {
      for (const x of call.inputs) this.#lastRead.set(x, i)
      call.outputs.forEach((y, o) => {
        const x = call.inputs[call.op.view ? 0 : takenBy(call, o)]
        if (x) this.#successor.set(x, y)
      })
    })
    stages.forEach(({ updates }, s) => {
      const after = this.#ends[s] as number
      for (const [, value] of updates) {
        this.#lastRead.set(value, Math.max(after, this.#lastRead.get(value) ?? 0))
      }
    })
  }

  /** The steps, and of each stage the number of them up to its end. */
  place(): { readonly steps: readonly Step[]; readonly ends: readonly number[] } {
    let index = 0
    const ends = this.#stages.map(({ calls, updates }) => {
      for (const call of calls) this.#addCall(call, index++)
      this.#addCopies(updates)
      return this.#steps.length
    })
    return { steps: this.#steps, ends }
  }

  #addCall(call: Call, index: number): void {
    if (call.op.view) {
      this.#places.set(call.outputs[0] as Tensor, {
        ...this.#placeOf(call.inputs[0] as Tensor),
        tensor: call.outputs[0] as Tensor,
      })
      return
    }
    const inputs = call.inputs.map((x) => this.#placeOf(x))
    const outputs = call.outputs.map((y, o) => {
      const slot = takenBy(call, o)
      const x = call.inputs[slot]
      if (!x) return this.#freshOrTarget(y, call, index)
      const place = this.#takeOver(y, x, call, index)
      inputs[slot] = { ...place, tensor: x }
      return place
    })
    this.#steps.push({ op: call.op, call, inputs, outputs })
    for (const place of outputs) this.#places.set(place.tensor, place)
  }

  /** Memory for y, which overwrites x: that of x if no one misses its old value, else of a copy. */
  #takeOver(y: Tensor, x: Tensor, call: Call, index: number): Place {
    const { storage, offset } = this.#placeOf(x)
    const sharers = call.inputs.filter((other) => this.#placeOf(other).storage === storage)
    const target = this.#targetOf(y, index)
    const atHome =
      storage.kind === "arena" ||
      (target?.storage === storage && target.offset === offset && storage.kind === "bound")
    if (atHome && sharers.length === 1 && !this.#readAfter(storage, index)) {
      return { tensor: y, storage, offset }
    }
    return this.#copy(this.#placeOf(x), fresh(y))
  }

  /** The memory of the update that y ends in, if it is free from here on; else new memory. */
  #freshOrTarget(y: Tensor, call: Call, index: number): Place {
    const target = this.#targetOf(y, index)
    if (!target) return fresh(y)
    const read = call.inputs.some((x) => this.#placeOf(x).storage === target.storage)
    if (read || this.#readAfter(target.storage, index)) return fresh(y)
    return { tensor: y, storage: target.storage, offset: target.offset }
  }

  /** Where a value of call number `index` ends: followed through views and in-place ops to an update's target.
   *  Not where other stages write that memory too, and this one is not done with it in its stage. */
  #targetOf(tensor: Tensor, index: number): Place | undefined {
    let value: Tensor | undefined = tensor
    while (value) {
      const found = value
      const wanted = this.#stages.flatMap(({ updates }, s) =>
        updates.flatMap(([target, v]) => (v === found ? [{ target, s }] : [])),
      )
      if (wanted[0]) {
        const [{ target, s }] = wanted as [(typeof wanted)[0]]
        if (wanted.length > 1) return undefined
        const isWithin = index >= (this.#ends[s - 1] ?? 0) && this.#endsWithin(found, s)
        return isWithin || !this.#isShared(target) ? this.#placeOf(target) : undefined
      }
      value = this.#successor.get(value)
    }
    return undefined
  }

  /** Whether nothing reads a tensor after a stage. */
  #endsWithin(tensor: Tensor, stage: number): boolean {
    return (this.#lastRead.get(tensor) ?? 0) <= (this.#ends[stage] as number)
  }

  /** Whether several stages write the memory of a target. */
  #isShared(target: Tensor): boolean {
    const { storage } = this.#placeOf(target)
    const writes = ({ updates }: PlacedStage): boolean =>
      updates.some(([other]) => this.#placeOf(other).storage === storage)
    return this.#stages.filter(writes).length > 1
  }

  /** Whether a call after `index`, or an update, still wants what lies in `storage` now. */
  #readAfter(storage: Storage, index: number): boolean {
    for (const [tensor, last] of this.#lastRead) {
      if (last <= index) continue
      if (tensor.origin.kind === "bound" && tensor.origin.buffer === storage.buffer) return true
      if (this.#places.get(tensor)?.storage === storage) return true
    }
    return false
  }

  /** Copies for updates whose value lies elsewhere: bound values first aside, then all home. */
  #addCopies(updates: readonly Update[]): void {
    const late = updates
      .map(([target, value]) => ({ target: this.#placeOf(target), value: this.#placeOf(value) }))
      .filter(
        ({ target, value }) => target.storage !== value.storage || target.offset !== value.offset,
      )
    const aside = late.map(({ value }) =>
      value.storage.kind === "bound" ? this.#copy(value, fresh(value.tensor)) : value,
    )
    late.forEach(({ target }, i) => {
      this.#copy(aside[i] as Place, target)
    })
  }

  #copy(from: Place, to: Place): Place {
    const { inputs, outputs, params } = copyOp.record([from.tensor], {})
    const call = newCall(copyOp, inputs, outputs, {}, params)
    this.#steps.push({ op: copyOp, call, inputs: [from], outputs: [to] })
    return to
  }

  #placeOf(tensor: Tensor): Place {
    const known = this.#places.get(tensor)
    if (known) return known
    const place = this.#firstPlace(tensor)
    this.#places.set(tensor, place)
    return place
  }

  #firstPlace(tensor: Tensor): Place {
    const { origin } = tensor
    if (origin.kind === "call") throw new Error(`plan: ${origin.call.op.name} has not run yet`)
    if (origin.kind === "constant") {
      const { bytes, dtype } = tensor
      const storage = { kind: origin.kind, bytes, dtype, data: origin.data, arenaOffset: 0 }
      return { tensor, storage, offset: 0 }
    }
    const { buffer, offset } = origin
    checkFreed("plan", buffer)
    let storage = this.#bound.get(buffer)
    if (!storage) {
      const { bytes, dtype } = buffer
      storage = { kind: "bound", bytes, dtype, buffer, arenaOffset: 0 }
      this.#bound.set(buffer, storage)
    }
    return { tensor, storage, offset }
  }
}

const fresh = (tensor: Tensor): Place => ({
  tensor,
  storage: { kind: "arena", bytes: tensor.bytes, dtype: tensor.dtype, arenaOffset: 0 },
  offset: 0,
})

/** Number of the input whose memory the call's output number `o` takes over; −1 for none. */
function takenBy({ op }: Call, o: number): number {
  const name = op.alias[op.outputs[o] as string]
  return name === undefined ? -1 : op.inputs.indexOf(name)
}
