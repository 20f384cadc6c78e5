// The webgpu backend: memory and replay of plans on a GPU, through the browser's WebGPU or Dawn in
// Node. The mathematics is in ops/*.wgsl.
import {
  type Backend,
  type Buffer,
  type DType,
  encode,
  type Plan,
  type Prepared,
} from "../../engine/index.ts"
import { allOps } from "../../ops/index.ts"
import { roundUp, usage, WebgpuBuffer } from "./buffer.ts"
import { type Feature, type OpenDevice, openDevice, type WebgpuOptions } from "./device.ts"
import { kernels } from "./kernels.js"
import { Pipelines } from "./pipelines.ts"
import { slotsOf } from "./prelude.ts"
import { bindingAlignment, Replay } from "./replay.ts"

export { type Feature, features, type WebgpuOptions } from "./device.ts"

/** Opens the backend. Throws RangeError for a bad option, Error with the next action where it cannot. */
export async function openWebgpu(options: WebgpuOptions = {}): Promise<WebgpuBackend> {
  return new WebgpuBackend(await openDevice(options))
}

export class WebgpuBackend implements Backend, AsyncDisposable {
  readonly name = "webgpu"
  readonly alignment = bindingAlignment
  /** What runs, in words. */
  readonly build: string
  readonly features: ReadonlySet<Feature>
  readonly #device: GPUDevice
  readonly #bindingBytes: number
  readonly #pipelines: Pipelines
  readonly #kernels: ReadonlySet<string>
  readonly #live = new Set<WebgpuBuffer>()
  readonly #replays = new Set<Replay>()
  #failure: Error | undefined
  #closed = false

  constructor({ device, features, bindingBytes, description }: OpenDevice) {
    this.#bindingBytes = bindingBytes
    this.#device = device
    this.features = features
    this.build = [description, ...features].join(", ")
    this.#pipelines = new Pipelines(device, features)
    const most = device.limits.maxStorageBuffersPerShaderStage
    const fitting = allOps.filter((op) => kernels[op.name] && slotsOf(op).length <= most)
    this.#kernels = new Set(fitting.map((op) => op.name))
    device.addEventListener("uncapturederror", (event) => {
      this.#failure ??= new Error(`webgpu: ${event.error.message}`)
    })
    void device.lost.then(({ message, reason }) => {
      if (this.#closed) return
      const error = new Error(
        `webgpu: the device is lost (${reason}: ${message}). Close this backend and open another one`,
      )
      this.#failure ??= error
    })
  }

  /** Bytes given out and not yet freed. */
  get usedBytes(): number {
    return [...this.#live].reduce((sum, { gpu }) => sum + gpu.size, 0)
  }

  /** Buffers given out and plans prepared that are not yet freed or closed. */
  get liveCount(): number {
    return this.#live.size + this.#replays.size
  }

  has(kernel: string): boolean {
    return this.#kernels.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32"): Buffer {
    this.#check()
    const { maxBufferSize } = this.#device.limits
    if (bytes > maxBufferSize) {
      throw new RangeError(
        `webgpu: ${bytes} bytes do not fit: one buffer holds at most ${maxBufferSize}, ` +
          `${this.usedBytes} are in use. Close a model, or use a smaller dtype`,
      )
    }
    return new WebgpuBuffer(this.#device, this.#live, bytes, dtype)
  }

  write(buffer: Buffer, data: ArrayBufferView, offset = 0): void {
    const { gpu, bytes, dtype } = this.#own(buffer)
    const raw = data instanceof Float64Array ? encode(dtype, data) : data
    const { byteLength } = raw
    if (offset < 0 || offset + byteLength > bytes) {
      throw new RangeError(`write: ${byteLength} bytes at ${offset} do not fit ${bytes}`)
    }
    if (byteLength === 0) return
    let words = new Uint8Array(raw.buffer as ArrayBuffer, raw.byteOffset, byteLength)
    if (byteLength % 4 !== 0 || offset % 4 !== 0) {
      if (offset % 4 !== 0 || offset + byteLength !== bytes) {
        throw new RangeError(
          `write: ${byteLength} bytes at ${offset} of ${bytes}: webgpu writes whole words of 4 ` +
            "bytes, or up to the end of a buffer",
        )
      }
      const padded = new Uint8Array(roundUp(byteLength, 4))
      padded.set(words)
      words = padded
    }
    this.#device.queue.writeBuffer(gpu, offset, words)
  }

  async read(buffer: Buffer, bytes = buffer.bytes, offset = 0): Promise<ArrayBuffer> {
    const own = this.#own(buffer)
    if (offset < 0 || offset + bytes > own.bytes) {
      throw new RangeError(`read: ${bytes} bytes at ${offset} lie outside ${own.bytes}`)
    }
    if (bytes === 0) return new ArrayBuffer(0)
    const start = offset - (offset % 4)
    const size = roundUp(offset + bytes - start, 4)
    const copy = this.#device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget })
    try {
      const encoder = this.#device.createCommandEncoder()
      encoder.copyBufferToBuffer(own.gpu, start, copy, 0, size)
      this.#device.queue.submit([encoder.finish()])
      await copy.mapAsync(1).catch((cause: unknown) => {
        this.#check()
        throw new Error("webgpu: the GPU gave no result", { cause })
      })
      this.#check()
      return copy.getMappedRange().slice(offset - start, offset - start + bytes)
    } finally {
      copy.destroy()
    }
  }

  prepare(plan: Plan): Prepared {
    this.#check()
    for (const { inputs, outputs } of plan.steps) {
      for (const { storage } of [...inputs, ...outputs]) {
        if (storage.buffer) this.#own(storage.buffer)
      }
    }
    const replay = new Replay(plan, this.#device, this.#pipelines, this.#bindingBytes)
    this.#replays.add(replay)
    const run = () => {
      this.#check()
      replay.run()
    }
    return {
      run: () => (replay.compiled ? run() : replay.ready.then(run)),
      close: () => {
        if (this.#replays.delete(replay)) replay.close()
      },
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const replay of this.#replays) replay.close()
    this.#replays.clear()
    for (const buffer of this.#live) buffer.free()
    this.#device.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #own(buffer: Buffer): WebgpuBuffer {
    this.#check()
    if (buffer instanceof WebgpuBuffer && buffer.owner === this.#live) return buffer
    throw new TypeError("webgpu: this buffer belongs to another backend")
  }

  #check(): void {
    if (this.#closed) throw new Error("webgpu: the backend is closed. Open another one")
    if (this.#failure) throw this.#failure
  }
}
