// Memory of one tensor or several, in one instance.
import { type DType, Lifetime, type LivingBuffer } from "../../engine/index.ts"
import type { Instance } from "./instance.ts"
import type { Reclaim, Region } from "./reclaim.ts"

export class WasmBuffer implements LivingBuffer, Region {
  readonly instance: Instance
  readonly address: number
  readonly bytes: number
  readonly dtype: DType
  readonly life = new Lifetime()
  readonly #reclaim: Reclaim

  constructor(instance: Instance, bytes: number, dtype: DType, reclaim: Reclaim) {
    this.instance = instance
    this.bytes = bytes
    this.dtype = dtype
    this.address = instance.heap.alloc(bytes)
    this.#reclaim = reclaim
  }

  get freed(): boolean {
    return this.life.ended
  }

  free(): void {
    if (this.life.end()) this.#reclaim.free(this)
  }
}
