// The tensors that a step's kernel binds: where they lie, which are written, which are the same one.
import { isOwn, isWord, type Op, type Place, type Step } from "../../engine/index.ts"
import { roundUp } from "./buffer.ts"
import type { Taken } from "./choose.ts"
import { type Argument, type BindingShape, elementOf, fieldsOf, slotsOf } from "./prelude.ts"

/** Part of a buffer, from a multiple of the binding alignment on. */
export interface BufferRange {
  readonly buffer: GPUBuffer
  readonly offset: number
  readonly bytes: number
}

export interface Bound {
  readonly name: string
  readonly place: Place
  readonly type: string
  readonly written: boolean
  range: BufferRange
}

/** The arguments of a step: inputs, then outputs with memory of their own. */
export function boundOf(
  { op, inputs, outputs }: Step,
  kernel: Taken,
  rangeOf: (place: Place) => BufferRange,
): Bound[] {
  const slots = slotsOf(op, kernel)
  const places = [...inputs, ...outputs.filter((_, i) => isOwn(op, op.outputs[i] as string))]
  const taken = Object.values(op.alias)
  return places.map((place, i) => {
    const slot = slots[i] as BindingShape
    const { name } = slot
    const written = i >= inputs.length || taken.includes(name)
    const type = elementOf(place.tensor.dtype, slot)
    return { name, place, type, written, range: rangeOf(place) }
  })
}

const overlap = (a: BufferRange, b: BufferRange): boolean =>
  a.buffer === b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes

/** Inputs that overlap what the step writes, or each other in a buffer that it writes, without being
 *  one tensor: a buffer is bound either for reading or for writing, and written ranges lie apart. */
export function clashesOf(bound: readonly Bound[]): Bound[] {
  const buffers = new Set(bound.filter((b) => b.written).map((b) => b.range.buffer))
  return bound.filter(
    (b, i) =>
      !b.written &&
      buffers.has(b.range.buffer) &&
      bound.some((o, n) => n !== i && overlap(o.range, b.range) && (!alike(o, b) || o.written)),
  )
}

/** Whether two arguments are one tensor, bound alike. */
const alike = (a: Bound, b: Bound): boolean =>
  a.range.buffer === b.range.buffer &&
  a.range.offset === b.range.offset &&
  a.range.bytes === b.range.bytes &&
  a.type === b.type &&
  a.place.tensor.dtype === b.place.tensor.dtype

/** Buffers that a step writes are bound writable throughout, and equal tensors in them once. What is
 *  larger than `most` bytes is bound in windows. */
export function argumentsOf(bound: readonly Bound[], most: number): Argument[] {
  const buffers = new Set(bound.filter((b) => b.written).map((b) => b.range.buffer))
  return bound.map((b, i) => {
    const writable = buffers.has(b.range.buffer)
    const first = bound.slice(0, i).find((o) => writable && alike(o, b))
    const { name, place } = b
    const windows =
      b.range.bytes > most
        ? { windows: { count: Math.ceil(b.range.bytes / most), bytes: most } }
        : {}
    const common = { name, dtype: place.tensor.dtype, writable, ...windows }
    return first ? { ...common, same: first.name } : common
  })
}

/** Parameters in the order of the op, then the number of workgroups. */
export function parametersOf(op: Op, params: Step["call"]["params"], groups: number): ArrayBuffer {
  const names = fieldsOf(op)
  const view = new DataView(new ArrayBuffer(roundUp(4 * (names.length + 1), 16)))
  names.forEach((name, i) => {
    const value = params[name] as number
    if (isWord(name)) view.setUint32(4 * i, value, true)
    else view.setFloat32(4 * i, value, true)
  })
  view.setUint32(4 * names.length, groups, true)
  return view.buffer as ArrayBuffer
}

/** The parts of a range that its windows have. */
export function windowsOf(
  { buffer, offset, bytes }: BufferRange,
  { windows }: Argument,
): BufferRange[] {
  if (!windows) return [{ buffer, offset, bytes }]
  return Array.from({ length: windows.count }, (_, i) => {
    const start = i * windows.bytes
    return { buffer, offset: offset + start, bytes: Math.min(windows.bytes, bytes - start) }
  })
}
