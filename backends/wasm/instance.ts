// One WebAssembly instance with its memory and its worker threads. A backend has one, and more when
// a model is larger than the 4 GiB that a 32-bit memory can hold.
import { type Heap, reserve } from "./memory.ts"
import type { LoadedKernels } from "./module.ts"
import { type Exports, startPool, type ThreadPool } from "./pool.ts"
import { availableThreads, mayWait } from "./system.ts"
import { scratchBytes } from "./thread.ts"

export class Instance {
  readonly heap: Heap
  readonly #threads: number
  readonly #exports: Exports
  #pool: ThreadPool | undefined
  #failure: Error | undefined
  /** Whether the caller is one of the threads; where it may not wait, a worker leads them. */
  readonly takesPart: boolean
  /** Resolves when every thread serves. */
  readonly ready: Promise<void>
  /** Whether `ready` has resolved: then a run need not wait. */
  serving = false

  constructor({ module, relaxedDot }: LoadedKernels, threads: number, addressSpace: number) {
    this.heap = reserve(addressSpace, threads > 1)
    const { memory } = this.heap
    this.#threads = threads
    this.takesPart = threads === 1 || mayWait()
    const missing = (): number => this.#pool?.missing() ?? 0
    const instance = new WebAssembly.Instance(module, { env: { memory, missing } })
    this.#exports = instance.exports as unknown as Exports
    this.#exports.useRelaxedDot(relaxedDot ? 1 : 0)
    this.#exports.useCrowded(threads > availableThreads() ? 1 : 0)
    const scratch = this.heap.alloc(scratchBytes)
    this.#exports.setScratch(scratch)
    this.ready = this.#start(module, memory, scratch)
    // Whoever runs a plan hears of it; nobody else has to listen.
    this.ready.catch(() => undefined)
  }

  async #start(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    callers: number,
  ): Promise<void> {
    const threads = this.#threads
    const starts = Array.from({ length: threads }, (_, thread) => {
      const scratch = thread === 0 ? callers : this.heap.alloc(scratchBytes)
      return { module, memory, thread, threads, scratch }
    }).slice(this.takesPart ? 1 : 0)
    this.#pool = await startPool(starts, (error) => {
      this.#failure ??= error
    })
    this.serving = true
  }

  /** Place in the function table of kernel number `index`. */
  tableIndex(index: number): number {
    return this.#exports.tableIndex(index)
  }

  useWideTiles(on: boolean): void {
    this.#exports.useWideTiles(on ? 1 : 0)
  }

  /** Runs `count` steps, described from address `steps` on, on all threads; a promise where the
   *  caller does not take part. */
  run(steps: number, count: number): void | Promise<void> {
    if (!this.takesPart) {
      return (this.#pool as ThreadPool).lead(steps, count).then((failed) => this.#checkRun(failed))
    }
    let failed: number
    try {
      failed = this.#exports.runPlan(steps, count, this.#threads)
    } catch (error) {
      if (this.#threads > 1) this.#exports.fail(0)
      this.#failure = error as Error
      throw error
    }
    this.#checkRun(failed)
  }

  #checkRun(failed: number): void {
    if (failed === 0) return
    const who = failed > 256 ? "a worker thread stopped" : `thread ${failed - 1} failed`
    this.#failure ??= new Error(`wasm: ${who} while running a plan`)
    throw this.#failure
  }

  /** Throws when a thread has failed. */
  check(): void {
    if (!this.#failure) return
    throw new Error("wasm: a thread has failed; close this backend and open another one", {
      cause: this.#failure,
    })
  }

  store(address: number, data: ArrayBufferView): void {
    this.heap.touch(address + data.byteLength)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    this.view(address, data.byteLength).set(bytes)
  }

  /** The bytes themselves; not to be kept, since memory may grow. */
  view(address: number, bytes: number): Uint8Array {
    return new Uint8Array(this.heap.memory.buffer, address, bytes)
  }

  close(): void {
    if (this.#threads > 1) this.#exports.stop()
    void this.ready.then(
      () => this.#pool?.close(),
      () => undefined,
    )
  }
}
