// The wasm backend: memory and replay of plans on WebAssembly SIMD, with threads over one shared
// memory. The mathematics is in ops/*.as.ts.
import {
  type Backend,
  type Buffer,
  type DType,
  encode,
  type Place,
  type Plan,
  type Prepared,
  type Step,
  type Storage,
} from "../../engine/index.ts"
import { Heap } from "./memory.ts"
import { type Build, chooseBuild, loadKernels } from "./module.ts"
import { type Exports, type Pool, startPool } from "./pool.ts"
import { switchOnRevectorise, wideTilesPay } from "./revectorise.ts"
import { scratchBytes } from "./thread.ts"

export interface WasmOptions {
  /** Threads that run a plan, the caller's included. Default: the cores available to the process. */
  readonly threads?: number
  /** Which build: "relaxed" or "simd"; default the best that the runtime has. */
  readonly simd?: "relaxed" | "simd"
  /** Tries V8's 256-bit operations (Node 24 on x86-64), for the whole process; default off. */
  readonly revectorise?: boolean
  /** Forces the product tile for 256-bit registers on or off; default: on where it measures faster. */
  readonly wide?: boolean
}

class WasmBuffer implements Buffer {
  readonly address: number
  readonly bytes: number
  readonly dtype: DType
  readonly owner: WasmBackend
  #freed = false

  constructor(owner: WasmBackend, bytes: number, dtype: DType) {
    this.owner = owner
    this.bytes = bytes
    this.dtype = dtype
    this.address = owner.heap.alloc(bytes)
  }

  free(): void {
    if (this.#freed) return
    this.#freed = true
    this.owner.heap.free(this.address, this.bytes)
  }
}

const stepBytes = 128
const stepWords = stepBytes / 4

/** Opens the backend. Throws RangeError for a bad option, Error where the runtime lacks SIMD. */
export async function openWasm(options: WasmOptions = {}): Promise<WasmBackend> {
  const threads = options.threads ?? (await availableThreads())
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new RangeError(
      `wasm: threads must be a whole number from 1 to 256, got ${options.threads}`,
    )
  }
  const revectorise = (options.revectorise ?? false) && (await switchOnRevectorise())
  const build = await chooseBuild(options.simd, threads)
  const { module, kernels } = await loadKernels(build)
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536, shared: threads > 1 })
  const instance = await WebAssembly.instantiate(module, { env: { memory } })
  const exports = instance.exports as unknown as Exports
  const backend = new WasmBackend(build, threads, new Heap(memory), exports, kernels)
  await backend.start(module)
  const setWide = (on: boolean) => exports.useWideTiles(on ? 1 : 0)
  const wide = options.wide ?? (revectorise && (await wideTilesPay(backend, setWide)))
  setWide(wide)
  backend.wide = wide
  return backend
}

export class WasmBackend implements Backend, AsyncDisposable {
  readonly name = "wasm"
  readonly #build: Build
  /** Whether products use the tile for 256-bit registers. */
  wide = false
  readonly threads: number
  readonly heap: Heap
  readonly #exports: Exports
  readonly #kernels: ReadonlyMap<string, number>
  #pool: Pool | undefined
  #closed = false
  #failure: Error | undefined

  constructor(
    build: Build,
    threads: number,
    heap: Heap,
    exports: Exports,
    kernels: readonly string[],
  ) {
    this.#build = build
    this.threads = threads
    this.heap = heap
    this.#exports = exports
    this.#kernels = new Map(kernels.map((name, i) => [name, exports.tableIndex(i)]))
  }

  /** Starts the other threads. */
  async start(module: WebAssembly.Module): Promise<void> {
    const { memory } = this.heap
    this.#exports.setScratch(this.heap.alloc(scratchBytes))
    const starts = Array.from({ length: this.threads - 1 }, (_, i) => ({
      module,
      memory,
      thread: i + 1,
      threads: this.threads,
      scratch: this.heap.alloc(scratchBytes),
    }))
    this.#pool = await startPool(starts, (error) => {
      this.#failure ??= error
    })
  }

  /** What runs, in words. */
  get build(): string {
    const bits = this.wide ? ", 256-bit tiles" : ""
    return `${this.#build.simd === "relaxed" ? "relaxed SIMD" : "SIMD"}${bits}`
  }

  has(kernel: string): boolean {
    return this.#kernels.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32"): Buffer {
    this.#checkOpen()
    return new WasmBuffer(this, bytes, dtype)
  }

  write(buffer: Buffer, data: ArrayBufferView, offset = 0): void {
    const { address, bytes, dtype } = this.#own(buffer)
    const raw = data instanceof Float64Array ? encode(dtype, data) : data
    if (offset < 0 || offset + raw.byteLength > bytes) {
      throw new RangeError(`write: ${raw.byteLength} bytes at ${offset} do not fit ${bytes}`)
    }
    this.#store(address + offset, raw)
  }

  async read(buffer: Buffer, bytes = buffer.bytes, offset = 0): Promise<ArrayBuffer> {
    const own = this.#own(buffer)
    if (offset < 0 || offset + bytes > own.bytes) {
      throw new RangeError(`read: ${bytes} bytes at ${offset} lie outside ${own.bytes}`)
    }
    const copy = new Uint8Array(bytes)
    copy.set(new Uint8Array(this.heap.memory.buffer, own.address + offset, bytes))
    return copy.buffer
  }

  prepare(plan: Plan): Prepared {
    this.#checkOpen()
    const regions: { address: number; bytes: number }[] = []
    const take = (bytes: number): number => {
      const address = this.heap.alloc(bytes)
      regions.push({ address, bytes })
      return address
    }
    const arena = take(plan.arenaBytes)
    const constants = new Map<Storage, number>()
    const addressOf = ({ tensor, storage, offset }: Place): number => {
      if (storage.kind === "arena") return arena + storage.arenaOffset
      if (storage.buffer) return this.#own(storage.buffer).address + offset
      let address = constants.get(storage)
      if (address === undefined) {
        address = take(storage.bytes)
        constants.set(storage, address)
        const data = storage.data as ArrayBufferView & ArrayLike<number>
        this.#store(address, data instanceof Float64Array ? encode(tensor.dtype, data) : data)
      }
      return address
    }
    const words = plan.steps.map((step) => this.#describe(step, addressOf))
    const steps = take(Math.max(1, words.length) * stepBytes)
    words.forEach((data, i) => {
      this.#store(steps + i * stepBytes, data)
    })
    return {
      run: () => this.#run(steps, words.length),
      close: () => {
        for (const { address, bytes } of regions.splice(0)) this.heap.free(address, bytes)
      },
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.threads > 1) this.#exports.stop()
    this.#pool?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** Kernel, rows and arguments of a step as the run loop reads them (run.as.ts). */
  #describe({ op, call, inputs, outputs }: Step, addressOf: (place: Place) => number): Uint32Array {
    const words = new Uint32Array(stepWords)
    const floats = new Float32Array(words.buffer)
    const kernel = this.#kernels.get(op.name)
    if (kernel === undefined) throw new Error(`wasm: there is no kernel ${op.name}`)
    words[0] = kernel
    words[1] = op.rows(call.params)
    const own = outputs.filter((_, i) => op.alias[op.outputs[i] as string] === undefined)
    let at = 2
    for (const place of [...inputs, ...own]) words[at++] = addressOf(place)
    for (const name of op.params) {
      const value = call.params[name] as number
      if (/^[A-Z]/.test(name) || name.endsWith("Type")) words[at++] = value
      else floats[at++] = value
    }
    if (at > stepWords)
      throw new RangeError(`wasm: ${op.name} has more than ${stepWords - 2} arguments`)
    return words
  }

  #run(steps: number, count: number): void {
    this.#checkOpen()
    let failed: number
    try {
      failed = this.#exports.runPlan(steps, count, this.threads)
    } catch (error) {
      if (this.threads > 1) this.#exports.fail(0)
      this.#failure = error as Error
      throw error
    }
    if (failed !== 0) {
      this.#failure ??= new Error(`wasm: thread ${failed - 1} failed while running a plan`)
      throw this.#failure
    }
  }

  #store(address: number, data: ArrayBufferView): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    new Uint8Array(this.heap.memory.buffer, address, data.byteLength).set(bytes)
  }

  #own(buffer: Buffer): WasmBuffer {
    this.#checkOpen()
    if (buffer instanceof WasmBuffer && buffer.owner === this) return buffer
    throw new TypeError("wasm: this buffer belongs to another backend")
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("wasm: the backend is closed. Open another one")
    if (this.#failure) {
      throw new Error("wasm: a thread has failed; close this backend and open another one", {
        cause: this.#failure,
      })
    }
  }
}

async function availableThreads(): Promise<number> {
  if (typeof process === "undefined" || !process.versions?.node)
    return navigator.hardwareConcurrency ?? 1
  const { availableParallelism } = await import("node:os")
  return availableParallelism()
}
