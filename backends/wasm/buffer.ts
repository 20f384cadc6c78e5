// Memory of one tensor or several, in one bank.
import { type DType, Lifetime, type LivingBuffer } from "../../engine/index.ts"
import type { Bank } from "./bank.ts"
import type { Reclaim, Region } from "./reclaim.ts"

export class WasmBuffer implements LivingBuffer, Region {
  readonly bank: Bank
  readonly address: number
  readonly bytes: number
  readonly dtype: DType
  readonly life = new Lifetime()
  readonly #reclaim: Reclaim

  constructor(bank: Bank, bytes: number, dtype: DType, reclaim: Reclaim) {
    this.bank = bank
    this.bytes = bytes
    this.dtype = dtype
    this.address = bank.heap.alloc(bytes)
    this.#reclaim = reclaim
  }

  get freed(): boolean {
    return this.life.ended
  }

  free(): void {
    if (this.life.end()) this.#reclaim.free(this)
  }
}
