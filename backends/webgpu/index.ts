// The webgpu backend: memory and replay of plans on a GPU, through the browser's WebGPU or Dawn in
// Node. The mathematics is in the .wgsl files of ops/.
import {
  type Backend,
  Binding,
  type Buffer,
  checkFreed,
  DeviceLostError,
  type DType,
  type Plan,
  type Prepared,
} from "../../engine/index.ts"
import { allOps } from "../../ops/index.ts"
import { failureOf, roundUp, WebgpuBuffer, wordsOf } from "./buffer.ts"
import { multipliesExactly } from "./check.ts"
import { type OpenDevice, openDevice } from "./device.ts"
import { type Feature, features, type WebgpuOptions } from "./options.ts"
import { Pipelines } from "./pipelines.ts"
import { slotsOf } from "./prelude.ts"
import { type Profile, profile } from "./profile.ts"
import { bindingAlignment, Replay } from "./replay.ts"
import { type Counts, noCounts, SubmissionQueue } from "./submission_queue.ts"

export { type Feature, features, type WebgpuOptions } from "./options.ts"
export type { Profile } from "./profile.ts"
export type { Counts } from "./submission_queue.ts"

const withKernel = allOps.filter(({ gpu }) => gpu.length > 0)
/** Names of the ops that have a kernel, whether there is a GPU or not. */
export const webgpuKernels: ReadonlySet<string> = new Set(withKernel.map(({ name }) => name))

/** Opens the backend. Throws RangeError for a bad option, Error with the next action where it cannot. */
export async function openWebgpu(options: WebgpuOptions = {}): Promise<WebgpuBackend> {
  const opened = await openDevice(options)
  const backend = new WebgpuBackend(options, opened)
  const { tried } = opened
  // A feature whose shader is refused is one more that cannot be relied on.
  if (tried.length === 0 || (await multipliesExactly(backend).catch(() => false))) return backend
  backend.close()
  return openWebgpu({ ...options, without: [...(options.without ?? []), ...tried] })
}

/** A plan, made ready for the device there is. */
interface PreparedPlan {
  readonly plan: Plan
  readonly binding: Binding
  replay: Replay
}

/** Time that the system gives notice in when results stop coming. */
const noticeMs = 2000

export class WebgpuBackend implements Backend, AsyncDisposable {
  readonly name = "webgpu"
  readonly alignment = bindingAlignment
  readonly ahead = 4
  /** What was handed to the device so far. */
  readonly counts: Counts = noCounts()
  readonly #onCompile: WebgpuOptions["onCompile"]
  /** Gets a device like the first one. */
  reopen: () => Promise<OpenDevice>
  readonly #kernels: ReadonlySet<string>
  readonly #computesNothing: boolean
  readonly #live = new Set<WebgpuBuffer>()
  readonly #prepared = new Set<PreparedPlan>()
  #open: OpenDevice
  #pipelines: Pipelines
  #queue: SubmissionQueue
  #failure: Error | undefined
  #lost = 0
  #recovering: Promise<number> | undefined
  #closed = false

  constructor(options: WebgpuOptions, opened: OpenDevice) {
    this.reopen = () => openDevice(options)
    this.#onCompile = options.onCompile
    this.#computesNothing = options.driver === "null"
    const most = opened.device.limits.maxStorageBuffersPerShaderStage
    const fitting = withKernel.filter((op) => slotsOf(op).length <= most)
    this.#kernels = new Set(fitting.map((op) => op.name))
    this.#open = opened
    this.#pipelines = this.#pipelinesOf(opened)
    this.#queue = new SubmissionQueue(opened.device, this.counts)
    this.#watch(opened.device)
  }

  /** What runs, in words. */
  get build(): string {
    const { description, features: used } = this.#open
    const without = features.filter((name) => !used.has(name))
    const list = (names: readonly Feature[]) => names.join(", ") || "no optional feature"
    return `${description}; with ${list([...used])}${without.length ? `; without ${list(without)}` : ""}`
  }

  get features(): ReadonlySet<Feature> {
    return this.#open.features
  }

  /** The device itself, for those who measure it or take it away. */
  get device(): GPUDevice {
    return this.#open.device
  }

  /** Bytes given out and not yet freed. */
  get usedBytes(): number {
    return [...this.#live].reduce((sum, { gpu }) => sum + gpu.size, 0)
  }

  /** Buffers given out and plans prepared that are not yet freed or closed. */
  get liveCount(): number {
    return this.#live.size + this.#prepared.size
  }

  has(kernel: string): boolean {
    return this.#kernels.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32"): Buffer {
    this.#check()
    const { maxBufferSize } = this.device.limits
    if (bytes > maxBufferSize) {
      throw new RangeError(
        `webgpu: ${bytes} bytes do not fit: one buffer holds at most ${maxBufferSize}, ` +
          `${this.usedBytes} are in use. Close a model, or use a smaller dtype`,
      )
    }
    return new WebgpuBuffer(this.device, this.#live, bytes, dtype, () => this.#queue.flush())
  }

  write(buffer: Buffer, data: ArrayBufferView, offset = 0): void {
    const own = this.#own(buffer)
    const words = wordsOf(own, data, offset)
    if (words.length > 0) this.#queue.write(own.gpu, offset, words)
  }

  async read(buffer: Buffer, bytes = buffer.bytes, offset = 0): Promise<ArrayBuffer> {
    const own = this.#own(buffer)
    if (offset < 0 || offset + bytes > own.bytes) {
      throw new RangeError(`read: ${bytes} bytes at ${offset} lie outside ${own.bytes}`)
    }
    if (bytes === 0) return new ArrayBuffer(0)
    const start = offset - (offset % 4)
    const { device } = this
    const result = this.#queue.read(own.gpu, start, roundUp(offset + bytes - start, 4))
    const words = await result.catch((cause: unknown) => this.#explain(device, cause))
    this.#check()
    if (this.#computesNothing) return new ArrayBuffer(bytes)
    return words.slice(offset - start, offset - start + bytes)
  }

  prepare(plan: Plan): Prepared {
    const binding = this.#bindingOf(plan)
    const prepared: PreparedPlan = { plan, binding, replay: this.#replayOf(plan) }
    binding.hold()
    this.#prepared.add(prepared)
    const run = (stage?: number): void | Promise<void> => {
      this.#check()
      binding.check()
      const { replay } = prepared
      if (!replay.compiled) return replay.ready.then(() => run(stage), refused)
      const dispatches = stage === undefined ? replay.dispatches : replay.stages[stage]
      this.#queue.pass((pass) => replay.encode(pass, dispatches), dispatches?.length ?? 0)
    }
    const refused = (cause: unknown): never => {
      this.#check()
      throw cause
    }
    return {
      run,
      close: () => {
        binding.close()
        if (!this.#prepared.delete(prepared)) return
        this.#queue.flush()
        prepared.replay.close()
      },
    }
  }

  /** Runs a plan as often as `repeat` says and returns what each of its dispatches took. */
  async profile(plan: Plan, repeat: number): Promise<Profile[]> {
    const binding = this.#bindingOf(plan)
    const replay = this.#replayOf(plan)
    binding.hold()
    try {
      await replay.ready
      binding.check()
      this.#queue.flush()
      return await profile(this.device, replay, this.features.has("timestamp-query"), repeat)
    } finally {
      binding.close()
      replay.close()
    }
  }

  recover(): Promise<number> {
    if (this.#closed || !(this.#failure instanceof DeviceLostError)) {
      return Promise.resolve(this.#lost)
    }
    this.#recovering ??= this.#reopen().finally(() => {
      this.#recovering = undefined
    })
    return this.#recovering
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue.close()
    for (const { replay } of this.#prepared) replay.close()
    this.#prepared.clear()
    for (const buffer of this.#live) buffer.free()
    this.device.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** Another device with the buffers and plans of the one that was lost. */
  async #reopen(): Promise<number> {
    const opened = await this.reopen().catch((cause: unknown) => {
      throw new Error(
        `webgpu: the device was lost and no other came in its place (${String(cause)}). ` +
          "Close this backend and open another one",
        { cause },
      )
    })
    if (this.#closed) opened.device.destroy()
    this.#checkOpen()
    for (const { replay } of this.#prepared) replay.close()
    this.#queue.close()
    this.#open = opened
    this.#pipelines = this.#pipelinesOf(opened)
    this.#queue = new SubmissionQueue(opened.device, this.counts)
    for (const buffer of this.#live) buffer.renew(opened.device)
    this.#failure = undefined
    for (const each of this.#prepared) {
      if (!each.binding.ended) each.replay = this.#replayOf(each.plan)
    }
    this.#watch(opened.device)
    return ++this.#lost
  }

  #pipelinesOf({ device, features }: OpenDevice): Pipelines {
    return new Pipelines(device, features, this.#onCompile)
  }

  #replayOf(plan: Plan): Replay {
    const { device, bindingBytes } = this.#open
    return new Replay(plan, device, this.#pipelines, bindingBytes, this.counts)
  }

  #watch(device: GPUDevice): void {
    device.addEventListener("uncapturederror", (event) => {
      // It is thrown by the next call; nothing else has to print it.
      event.preventDefault()
      if (device === this.device) this.#failure ??= failureOf(event.error, this.usedBytes)
    })
    void device.lost.then(({ message, reason }) => {
      if (this.#closed || device !== this.device) return
      this.#failure = new DeviceLostError(`webgpu: the device is lost (${reason}: ${message})`)
    })
  }

  /** Throws why there is no result: often the loss of the device, which may be reported a little later. */
  async #explain(device: GPUDevice, cause: unknown): Promise<never> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const notice = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, noticeMs)
    })
    await Promise.race([device.lost, notice])
    clearTimeout(timer)
    if (device !== this.device) throw new DeviceLostError("webgpu: the device is lost")
    this.#check()
    throw new Error("webgpu: the GPU gave no result", { cause })
  }

  #own(buffer: Buffer): WebgpuBuffer {
    this.#check()
    if (!(buffer instanceof WebgpuBuffer) || buffer.owner !== this.#live) {
      throw new TypeError("webgpu: this buffer belongs to another backend")
    }
    checkFreed(this.name, buffer)
    return buffer
  }

  #bindingOf(plan: Plan): Binding {
    this.#check()
    return new Binding(this.name, plan, (buffer) => this.#own(buffer))
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("webgpu: the backend is closed. Open another one")
  }

  #check(): void {
    this.#checkOpen()
    if (this.#failure) throw this.#failure
  }
}
