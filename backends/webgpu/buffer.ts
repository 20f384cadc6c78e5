// Memory of one tensor or several on the device.
import type { Buffer, DType } from "../../engine/index.ts"

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

export class WebgpuBuffer implements Buffer {
  readonly bytes: number
  readonly dtype: DType
  #gpu: GPUBuffer
  readonly owner: ReadonlySet<WebgpuBuffer>
  readonly #live: Set<WebgpuBuffer>

  constructor(device: GPUDevice, live: Set<WebgpuBuffer>, bytes: number, dtype: DType) {
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

  free(): void {
    if (this.#live.delete(this)) this.#gpu.destroy()
  }
}

const memoryOf = (device: GPUDevice, bytes: number): GPUBuffer =>
  device.createBuffer({
    size: Math.max(16, roundUp(bytes, 16)),
    usage: usage.storage | usage.copySource | usage.copyTarget,
  })
