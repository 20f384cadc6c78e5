// Makes a plan ready: a bind group and a slot of the parameter block for every step. A run is then
// one command buffer with one compute pass.
import {
  encode,
  inStages,
  type Op,
  type Place,
  type Plan,
  type Step,
  type Storage,
} from "../../engine/index.ts"
import {
  argumentsOf,
  type Bound,
  type BufferRange,
  boundOf,
  clashesOf,
  parametersOf,
  windowsOf,
} from "./arguments.ts"
import { roundUp, usage, type WebgpuBuffer } from "./buffer.ts"
import type { Pipeline, Pipelines } from "./pipelines.ts"
import type { Argument } from "./prelude.ts"
import { stageArguments, stageCode, stageWords } from "./stage.ts"
import type { Counts } from "./submission_queue.ts"

/** Offsets of bindings and of the parameters of a step. */
export const bindingAlignment = 256
const mostGroups = 65535

export interface Dispatch {
  /** The step of the plan that it belongs to. */
  readonly step: number
  readonly pipeline: Pipeline
  readonly ranges: readonly BufferRange[]
  readonly parameters: ArrayBuffer
  readonly groups: number
  group: GPUBindGroup | null
}

export class Replay {
  readonly #device: GPUDevice
  readonly #pipelines: Pipelines
  readonly #own: GPUBuffer[] = []
  readonly #counts: Counts
  /** In the order of a run. */
  readonly dispatches: Dispatch[] = []
  /** The same by stages of the plan. */
  readonly stages: readonly (readonly Dispatch[])[]
  readonly #constants = new Map<Storage, BufferRange>()
  readonly #arena: GPUBuffer
  /** Most bytes of one binding. */
  readonly #most: number
  #staging: GPUBuffer | undefined
  /** Settles when every pipeline is compiled. */
  readonly ready: Promise<unknown>
  compiled = false

  constructor(
    plan: Plan,
    device: GPUDevice,
    pipelines: Pipelines,
    bindingBytes: number,
    counts: Counts,
  ) {
    this.#counts = counts
    this.#device = device
    this.#most = bindingBytes
    this.#pipelines = pipelines
    try {
      this.#arena = this.#buffer(plan.arenaBytes, usage.storage)
      this.#uploadConstants(plan)
      this.#staging = this.#stagingFor(plan)
      plan.steps.forEach((step, i) => {
        this.#addStep(step, i)
      })
      this.#bind()
      const ofSteps = plan.steps.map((): Dispatch[] => [])
      for (const dispatch of this.dispatches) ofSteps[dispatch.step]?.push(dispatch)
      this.stages = inStages(ofSteps, plan).map((all) => all.flat())
    } catch (error) {
      this.close()
      throw error
    }
    this.ready = Promise.all(this.dispatches.map((d) => d.pipeline.ready)).then(() => {
      this.compiled = true
    })
    this.ready.catch(() => undefined)
  }

  encode(pass: GPUComputePassEncoder, dispatches: readonly Dispatch[] = this.dispatches): void {
    let last: Pipeline | undefined
    for (const dispatch of dispatches) {
      if (dispatch.pipeline !== last) {
        last = dispatch.pipeline
        pass.setPipeline(last.pipeline as GPUComputePipeline)
      }
      encodeOne(pass, dispatch)
    }
  }

  close(): void {
    for (const buffer of this.#own.splice(0)) buffer.destroy()
  }

  #buffer(bytes: number, kind: number): GPUBuffer {
    const size = Math.max(bindingAlignment, roundUp(bytes, bindingAlignment))
    const { maxBufferSize } = this.#device.limits
    if (size > maxBufferSize) {
      throw new RangeError(
        `webgpu: a plan needs ${size} bytes in one buffer, which holds at most ${maxBufferSize}. ` +
          "Use shorter sequences, or a smaller batch",
      )
    }
    const buffer = this.#device.createBuffer({ size, usage: kind | usage.copyTarget })
    this.#own.push(buffer)
    return buffer
  }

  /** All constants of the plan, once, in one buffer. */
  #uploadConstants(plan: Plan): void {
    const places = plan.steps.flatMap(({ inputs }) => inputs)
    const all = new Map(
      places.flatMap(({ storage }) => (storage.data ? [[storage, storage.data]] : [])),
    )
    let total = 0
    const offsets = [...all.keys()].map(({ bytes }) => {
      const offset = total
      total += roundUp(Math.max(bytes, 4), bindingAlignment)
      return offset
    })
    const buffer = this.#buffer(total, usage.storage)
    ;[...all].forEach(([storage, data], i) => {
      const offset = offsets[i] as number
      const raw = data instanceof Float64Array ? encode(storage.dtype, data) : data
      const bytes = new Uint8Array(roundUp(storage.bytes, 4))
      bytes.set(new Uint8Array(raw.buffer, raw.byteOffset, storage.bytes))
      if (bytes.length > 0) this.#device.queue.writeBuffer(buffer, offset, bytes)
      this.#constants.set(storage, { buffer, offset, bytes: bytes.length })
    })
  }

  /** Room for the tensors of the step that moves most. */
  #stagingFor(plan: Plan): GPUBuffer | undefined {
    const sizes = plan.steps.map((step) =>
      this.#movedOf(boundOf(step, this.#pipelines.kernelOf(step), this.#rangeOf))
        .map(({ range }) => roundUp(range.bytes, bindingAlignment))
        .reduce((a, b) => a + b, 0),
    )
    const most = sizes.reduce((a, b) => Math.max(a, b), 0)
    return most > 0 ? this.#buffer(most, usage.storage) : undefined
  }

  #addStep(step: Step, index: number): void {
    const { op, call } = step
    if (step.outputs.every(({ tensor }) => tensor.size === 0)) return
    const kernel = this.#pipelines.kernelOf(step)
    const bound = boundOf(step, kernel, this.#rangeOf)
    const before: Dispatch[] = []
    const after: Dispatch[] = []
    let used = 0
    for (const b of this.#movedOf(bound)) {
      const home = b.range
      b.range = { buffer: this.#staging as GPUBuffer, offset: used, bytes: home.bytes }
      used += roundUp(home.bytes, bindingAlignment)
      before.push(this.#copy(index, home, b.range, b.place.tensor.bytes))
      if (b.written) after.push(this.#copy(index, b.range, home, b.place.tensor.bytes))
    }
    const args = argumentsOf(bound, this.#most)
    this.#checkWindows(op, args)
    const { groups } = kernel
    const ranges = args.flatMap((arg, i) =>
      arg.same === undefined ? windowsOf((bound[i] as Bound).range, arg) : [],
    )
    const parameters = parametersOf(op, call.params, groups)
    const pipeline = this.#pipelines.of(op, kernel, args)
    this.dispatches.push(
      ...before,
      { step: index, pipeline, ranges, parameters, groups, group: null },
      ...after,
    )
  }

  readonly #rangeOf = ({ tensor, storage, offset }: Place): BufferRange => {
    const bytes = Math.max(4, roundUp(tensor.bytes, 4))
    if (storage.buffer) return { buffer: (storage.buffer as WebgpuBuffer).gpu, offset, bytes }
    const known = this.#constants.get(storage)
    return known ? { ...known, bytes } : { buffer: this.#arena, offset: storage.arenaOffset, bytes }
  }

  /** Whether a tensor does not lie where a binding may begin, or would be written beyond its end. */
  #astray({ place, range, written }: Bound): boolean {
    const { minStorageBufferOffsetAlignment } = this.#device.limits
    if (range.offset % minStorageBufferOffsetAlignment !== 0) return true
    const { storage, tensor } = place
    return (
      written &&
      storage.kind === "bound" &&
      tensor.bytes % 4 !== 0 &&
      range.offset + tensor.bytes < storage.bytes
    )
  }

  /** The arguments that a step reaches through copies. */
  #movedOf(bound: readonly Bound[]): Bound[] {
    const clashing = clashesOf(bound)
    return bound.filter((b) => this.#astray(b) || clashing.includes(b))
  }

  /** A dispatch that copies bytes from the start of one range to that of another. */
  #copy(step: number, from: BufferRange, to: BufferRange, bytes: number): Dispatch {
    const [fromByte, toByte] = [from.offset % bindingAlignment, to.offset % bindingAlignment]
    const align = (range: BufferRange, rest: number): BufferRange => ({
      buffer: range.buffer,
      offset: range.offset - rest,
      bytes: roundUp(rest + bytes, 4),
    })
    const ranges = [align(from, fromByte), align(to, toByte)]
    return {
      step,
      pipeline: this.#pipelines.own("stage", stageArguments, stageCode),
      ranges,
      parameters: new Uint32Array([fromByte, toByte, bytes]).buffer,
      groups: Math.ceil((toByte + bytes) / 4 / stageWords),
      group: null,
    }
  }

  /** All windows of a step have to be bound at once. */
  #checkWindows({ name }: Op, args: readonly Argument[]): void {
    const bindings = args.reduce((sum, { windows }) => sum + (windows?.count ?? 1), 0)
    const most = this.#device.limits.maxStorageBuffersPerShaderStage
    if (bindings <= most) return
    throw new RangeError(
      `webgpu: ${name} has tensors larger than the ${this.#most} bytes that this GPU binds at once, ` +
        `and takes ${bindings} bindings of ${most}. Use a smaller dtype, or --backend wasm`,
    )
  }

  /** The parameter block and the bind groups of all dispatches. */
  #bind(): void {
    const slots = this.dispatches.map(({ parameters }) => parameters.byteLength)
    if (slots.some((bytes) => bytes > bindingAlignment)) {
      throw new RangeError(`webgpu: a kernel has more than ${bindingAlignment / 4} parameters`)
    }
    const block = new Uint8Array(slots.length * bindingAlignment)
    this.dispatches.forEach(({ parameters }, i) => {
      block.set(new Uint8Array(parameters), i * bindingAlignment)
    })
    const buffer = this.#buffer(block.length, usage.uniform)
    if (block.length > 0) this.#device.queue.writeBuffer(buffer, 0, block)
    this.dispatches.forEach((dispatch, i) => {
      const { ranges, pipeline } = dispatch
      this.#counts.bindGroups++
      const parameters = { buffer, offset: i * bindingAlignment, bytes: slots[i] as number }
      dispatch.group = this.#device.createBindGroup({
        layout: pipeline.layout,
        entries: [...ranges, parameters].map(({ buffer, offset, bytes }, binding) => ({
          binding,
          resource: { buffer, offset, size: bytes },
        })),
      })
    })
  }
}

/** A dispatch whose pipeline is set. */
export function encodeOne(pass: GPUComputePassEncoder, { group, groups }: Dispatch): void {
  pass.setBindGroup(0, group)
  pass.dispatchWorkgroups(Math.min(groups, mostGroups), Math.ceil(groups / mostGroups))
}
