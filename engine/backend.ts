// What a backend is to the rest: seven members. Memory, and the replay of plans; no mathematics. Four
// more may be left out: how values are aligned, where to they are read, how far runs may go ahead, how a lost device
// is replaced.
import type { DType } from "./dtype.ts"
import type { Plan } from "./plan.ts"

/** Device memory that belongs to one backend; freed once by its owner. */
export interface Buffer {
  readonly bytes: number
  readonly dtype: DType
  /** Whether its memory has been given back: then it is refused wherever it is used. */
  readonly freed: boolean
  /** Gives the memory back. */
  free(): void
}

/** A plan made ready to run. `run` does no shape work and no allocation. */
export interface Prepared {
  /** Runs all steps, or those of one stage: at once, or, where it returns a promise, until that resolves. */
  run(stage?: number): void | Promise<void>
  /** Frees its memory. */
  close(): void
}

/** Memory and the replay of plans, on one device. */
export interface Backend {
  readonly name: string
  /** Bytes at whose multiples values lie in a plan's arena; default 64. */
  readonly alignment?: number
  /** Whether this backend has a kernel of that name; other ops run as their meaning. */
  has(kernel: string): boolean
  /** Zeroed memory, if possible where a plan that uses it with `near` needs no copy.
   *  Throws RangeError when it does not fit, naming bytes asked and bytes in use. */
  alloc(bytes: number, dtype?: DType, near?: Buffer): Buffer
  /** Copies raw elements in; `offset` in bytes. */
  write(buffer: Buffer, data: ArrayBufferView, offset?: number): void
  /** Copies raw elements out. The only place that waits. */
  read(buffer: Buffer, bytes?: number, offset?: number): Promise<ArrayBuffer>
  /** Copies raw elements into memory that is there, as many bytes as it has; where this is left out, `read` is
   *  used. Waits as it does. */
  readInto?(buffer: Buffer, target: Uint8Array, offset?: number): Promise<void>
  /** Makes a plan ready. Throws RangeError where its memory does not fit. */
  prepare(plan: Plan): Prepared
  /** Frees everything. */
  close(): void
  /** Runs that may be queued after the one whose result is read next; default 0. A run has then
   *  been queued when `run` returns, and a read is of what the runs before it leave. */
  readonly ahead?: number
  /** Puts another device in the place of one that was lost, with the same buffers, zeroed, and the
   *  same plans; nothing where none was lost. Returns how many were lost so far.
   *  Throws Error when no device comes back. */
  recover?(): Promise<number>
}

/** A device is gone, and what was in its memory. `Backend.recover` gets another one. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError"
}
