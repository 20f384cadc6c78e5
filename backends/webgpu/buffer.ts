// Memory of one tensor or several on the device.
import { type Buffer, type DType, encode, Lifetime, type LivingBuffer } from "../../engine/index.ts"

/** GPUBufferUsage, which Node has no global of. */
export const usage = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  queryResolve: 0x200,
  uniform: 0x40,
  storage: 0x80,
} as const

export const roundUp = (bytes: number, to: number): number => Math.ceil(bytes / to) * to

export class WebgpuBuffer implements LivingBuffer {
  readonly bytes: number
  readonly dtype: DType
  readonly life = new Lifetime()
  #gpu: GPUBuffer
  readonly owner: ReadonlySet<WebgpuBuffer>
  readonly #live: Set<WebgpuBuffer>
  readonly #flush: () => void

  /** `flush` submits the work queued so far: a device takes none with memory that is gone. */
  constructor(
    device: GPUDevice,
    live: Set<WebgpuBuffer>,
    bytes: number,
    dtype: DType,
    flush: () => void,
  ) {
    this.#flush = flush
    this.bytes = bytes
    this.dtype = dtype
    this.#gpu = memoryOf(device, bytes)
    this.owner = live
    this.#live = live
    live.add(this)
  }

  get gpu(): GPUBuffer {
    return this.#gpu
  }

  /** The same buffer on another device, zeroed. */
  renew(device: GPUDevice): void {
    this.#gpu = memoryOf(device, this.bytes)
  }

  get freed(): boolean {
    return this.life.ended
  }

  free(): void {
    if (!this.life.end()) return
    this.#live.delete(this)
    this.#flush()
    this.#gpu.destroy()
  }
}

const memoryOf = (device: GPUDevice, bytes: number): GPUBuffer =>
  device.createBuffer({
    size: Math.max(16, roundUp(bytes, 16)),
    usage: usage.storage | usage.copySource | usage.copyTarget,
  })

/** What a write puts into a buffer, in whole words. Throws RangeError where that is not possible. */
export function wordsOf(
  { bytes, dtype }: Buffer,
  data: ArrayBufferView,
  offset: number,
): Uint8Array<ArrayBuffer> {
  const raw = data instanceof Float64Array ? encode(dtype, data) : data
  const { byteLength } = raw
  if (offset < 0 || offset + byteLength > bytes) {
    throw new RangeError(`write: ${byteLength} bytes at ${offset} do not fit ${bytes}`)
  }
  const words = new Uint8Array(raw.buffer as ArrayBuffer, raw.byteOffset, byteLength)
  if (byteLength === 0 || (byteLength % 4 === 0 && offset % 4 === 0)) return words
  if (offset % 4 !== 0 || offset + byteLength !== bytes) {
    throw new RangeError(
      `write: ${byteLength} bytes at ${offset} of ${bytes}: webgpu writes whole words of 4 ` +
        "bytes, or up to the end of a buffer",
    )
  }
  const padded = new Uint8Array(roundUp(byteLength, 4))
  padded.set(words)
  return padded
}

/** What an error of the device means for a backend that has `usedBytes` of its memory. */
export function failureOf(error: GPUError, usedBytes: number): Error {
  if (error.constructor.name !== "GPUOutOfMemoryError") return new Error(`webgpu: ${error.message}`)
  return new RangeError(
    `webgpu: the memory of the GPU is full, with ${usedBytes} bytes in use. ` +
      "Close this backend, open another one, and use a smaller dtype or capacity",
  )
}
