// Work on its way to the device. A run and the read after it are one submit; buffers that results
// are read through are used again. Counts what it hands over.
import { roundUp, usage } from "./buffer.ts"

/** What was handed to the device so far. */
export interface Counts {
  /** Plans run. */
  runs: number
  dispatches: number
  submits: number
  /** Results copied out and waited for. */
  readbacks: number
  /** Data put in from outside. */
  writes: number
  /** Bind groups made. */
  bindGroups: number
}

export const noCounts = (): Counts => ({
  runs: 0,
  dispatches: 0,
  submits: 0,
  readbacks: 0,
  writes: 0,
  bindGroups: 0,
})

/** Results of at most this size go through buffers that are kept. */
const keptBytes = 256
const keptBuffers = 32

export class SubmissionQueue {
  readonly #device: GPUDevice
  readonly #counts: Counts
  readonly #spare: GPUBuffer[] = []
  #encoder: GPUCommandEncoder | undefined

  constructor(device: GPUDevice, counts: Counts) {
    this.#device = device
    this.#counts = counts
  }

  /** Queues one pass, by itself in its submit but for the reads that follow at once. */
  pass(encode: (pass: GPUComputePassEncoder) => void, dispatches: number): void {
    this.flush()
    const encoder = this.#open()
    const pass = encoder.beginComputePass()
    encode(pass)
    pass.end()
    this.#counts.runs++
    this.#counts.dispatches += dispatches
  }

  write(buffer: GPUBuffer, offset: number, data: Uint8Array<ArrayBuffer>): void {
    this.flush()
    this.#device.queue.writeBuffer(buffer, offset, data)
    this.#counts.writes++
  }

  /** Bytes of a buffer as the work queued so far leaves them; `start` and `bytes` in whole words.
   *  Rejects when the device gives no result. */
  async read(buffer: GPUBuffer, start: number, bytes: number): Promise<ArrayBuffer> {
    const copy = this.#stagingOf(bytes)
    this.#open().copyBufferToBuffer(buffer, start, copy, 0, bytes)
    this.flush()
    this.#counts.readbacks++
    try {
      await copy.mapAsync(1, 0, bytes)
      const result = copy.getMappedRange(0, bytes).slice(0)
      copy.unmap()
      if (copy.size === keptBytes && this.#spare.length < keptBuffers) this.#spare.push(copy)
      else copy.destroy()
      return result
    } catch (error) {
      copy.destroy()
      throw error
    }
  }

  /** Submits what is queued. */
  flush(): void {
    const encoder = this.#encoder
    if (!encoder) return
    this.#encoder = undefined
    this.#device.queue.submit([encoder.finish()])
    this.#counts.submits++
  }

  close(): void {
    this.#encoder = undefined
    for (const buffer of this.#spare.splice(0)) buffer.destroy()
  }

  /** What nothing else hands over goes when the caller comes to rest. */
  #open(): GPUCommandEncoder {
    if (this.#encoder) return this.#encoder
    this.#encoder = this.#device.createCommandEncoder()
    queueMicrotask(() => this.flush())
    return this.#encoder
  }

  #stagingOf(bytes: number): GPUBuffer {
    const spare = bytes <= keptBytes ? this.#spare.pop() : undefined
    if (spare) return spare
    const size = Math.max(keptBytes, roundUp(bytes, 4))
    return this.#device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget })
  }
}
