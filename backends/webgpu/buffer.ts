// Memory of one tensor or several on the device.
import type { Buffer, DType } from "../../engine/index.ts"

/** GPUBufferUsage, which Node has no global of. */
export const usage = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
} as const

export const roundUp = (bytes: number, to: number): number => Math.ceil(bytes / to) * to

export class WebgpuBuffer implements Buffer {
  readonly bytes: number
  readonly dtype: DType
  readonly gpu: GPUBuffer
  readonly owner: ReadonlySet<WebgpuBuffer>
  readonly #live: Set<WebgpuBuffer>

  constructor(device: GPUDevice, live: Set<WebgpuBuffer>, bytes: number, dtype: DType) {
    this.bytes = bytes
    this.dtype = dtype
    this.gpu = device.createBuffer({
      size: Math.max(16, roundUp(bytes, 16)),
      usage: usage.storage | usage.copySource | usage.copyTarget,
    })
    this.owner = live
    this.#live = live
    live.add(this)
  }

  free(): void {
    if (this.#live.delete(this)) this.gpu.destroy()
  }
}
