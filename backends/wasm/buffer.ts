// Memory of one tensor or several, in one bank.
import type { Buffer, DType } from "../../engine/index.ts"
import type { Bank } from "./bank.ts"

export class WasmBuffer implements Buffer {
  readonly bank: Bank
  readonly address: number
  readonly bytes: number
  readonly dtype: DType
  #freed = false

  constructor(bank: Bank, bytes: number, dtype: DType) {
    this.bank = bank
    this.bytes = bytes
    this.dtype = dtype
    this.address = bank.heap.alloc(bytes)
  }

  free(): void {
    if (this.#freed) return
    this.#freed = true
    this.bank.heap.free(this.address, this.bytes)
  }
}
