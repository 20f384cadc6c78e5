// The wasm backend: memory and replay of plans on WebAssembly SIMD, with threads over shared
// memory. The mathematics is in the .as.ts files of ops/.
import {
  type Backend,
  Binding,
  type Buffer,
  checkFreed,
  checkWhole,
  type DType,
  encode,
  type Plan,
  type Prepared,
} from "../../engine/index.ts"
import { WasmBuffer } from "./buffer.ts"
import { Instance } from "./instance.ts"
import { addressSpace } from "./memory.ts"
import { type Build, chooseBuild, type LoadedKernels, loadKernels } from "./module.ts"
import { Reclaim } from "./reclaim.ts"
import { Replay } from "./replay.ts"
import { raceTiles, switchOnRevectorize, type TileRates, wideTilesPay } from "./revectorize.ts"
import { availableThreads, isolated, memoryLimit } from "./system.ts"
import { scratchBytes } from "./thread.ts"

/** How the CPU backend is opened. */
export interface WasmOptions {
  /** Threads that run a plan, the caller's included. Default: the cores available to the process; 1
   *  in a page that is not cross-origin isolated. */
  readonly threads?: number
  /** Which build: "relaxed" or "simd"; default the best that the runtime has. */
  readonly simd?: "relaxed" | "simd"
  /** Tries V8's 256-bit operations (Node 24 on x86-64), for the whole process; default off. */
  readonly revectorize?: boolean
  /** Forces the product tile for 256-bit registers on or off; default: on where it measures faster. */
  readonly wide?: boolean
  /** Most bytes of one WebAssembly memory; a model that is larger takes several. Default 4 GiB. */
  readonly instanceBytes?: number
  /** Most bytes in all; default the memory of the machine, or of the container. */
  readonly memoryBytes?: number
}

/** Parts of WebAssembly that may be there. */
export type WasmFeature = "simd" | "relaxed-simd" | "threads" | "256-bit-tiles"

/** Opens the backend. Throws RangeError for a bad option, Error where the runtime lacks SIMD. */
export async function openWasm(options: WasmOptions = {}): Promise<WasmBackend> {
  const { instanceBytes = addressSpace, memoryBytes = memoryLimit() } = options
  const threads = options.threads ?? availableThreads()
  checkWhole("wasm: threads", threads, 1, 256)
  const least = (threads + 2) * scratchBytes
  if (!(instanceBytes >= least && instanceBytes <= addressSpace)) {
    throw new RangeError(
      `wasm: instanceBytes must lie in ${least} … ${addressSpace}, got ${instanceBytes}`,
    )
  }
  if (!(memoryBytes >= least)) {
    throw new RangeError(`wasm: memoryBytes must be at least ${least}, got ${memoryBytes}`)
  }
  const revectorize = (options.revectorize ?? false) && switchOnRevectorize()
  const build = await chooseBuild(options.simd, threads)
  const kernels = await loadKernels(build)
  const backend = new WasmBackend(build, threads, kernels, { instanceBytes, limit: memoryBytes })
  await backend.ready()
  if (revectorize) backend.tileRates = await raceTiles(backend)
  const pays = backend.tileRates !== undefined && wideTilesPay(backend.tileRates)
  backend.wide = options.wide ?? pays
  return backend
}

interface Limits {
  readonly instanceBytes: number
  /** Bytes that this machine can give. */
  readonly limit: number
}

export class WasmBackend implements Backend, AsyncDisposable {
  readonly name = "wasm"
  readonly threads: number
  /** What the two product tiles reached when the backend was opened, where they were compared. */
  tileRates: TileRates | undefined
  readonly #build: Build
  readonly #kernels: LoadedKernels
  readonly #limits: Limits
  readonly #instances: Instance[] = []
  readonly #table: ReadonlyMap<string, number>
  #wide = false
  #closed = false
  readonly #reclaim = new Reclaim()

  constructor(build: Build, threads: number, kernels: LoadedKernels, limits: Limits) {
    this.#build = build
    this.threads = threads
    this.#kernels = kernels
    this.#limits = limits
    const first = this.#addInstance()
    this.#table = new Map(kernels.names.map((name, i) => [name, first.tableIndex(i)]))
  }

  /** What runs, in words. */
  get build(): string {
    const bits = this.#wide ? ", 256-bit tiles" : ""
    const alone = isolated ? "" : ", 1 thread: the page is not cross-origin isolated"
    return `${this.#build.simd === "relaxed" ? "relaxed SIMD" : "SIMD"}${bits}${alone}`
  }

  get features(): ReadonlySet<WasmFeature> {
    const used: WasmFeature[] = [this.#build.simd === "relaxed" ? "relaxed-simd" : "simd"]
    if (this.threads > 1) used.push("threads")
    if (this.#wide) used.push("256-bit-tiles")
    return new Set(used)
  }

  /** Whether products use the tile for 256-bit registers. */
  get wide(): boolean {
    return this.#wide
  }

  set wide(on: boolean) {
    this.#wide = on
    for (const instance of this.#instances) instance.useWideTiles(on)
  }

  /** Bytes given out and not yet freed. */
  get usedBytes(): number {
    return this.#instances.reduce((sum, { heap }) => sum + heap.used, 0)
  }

  /** Bytes of all memories, used or not. */
  get grownBytes(): number {
    return this.#instances.reduce((sum, { heap }) => sum + heap.memory.buffer.byteLength, 0)
  }

  get instanceCount(): number {
    return this.#instances.length
  }

  /** Resolves when all threads serve. */
  async ready(): Promise<void> {
    await Promise.all(this.#instances.map((instance) => instance.ready))
  }

  has(kernel: string): boolean {
    return this.#table.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32", near?: Buffer): Buffer {
    this.#checkOpen()
    const beside = near && this.#home(near)
    const instances = beside ? [beside, ...this.#instances] : this.#instances
    if (this.usedBytes + bytes > this.#limits.limit) throw this.#tooLarge(bytes)
    // Room is left for the arenas of plans, and for mirrors of what lies in other memories.
    const room = this.#limits.instanceBytes / 4
    const gap = near && instances[0]?.heap.hasGap(bytes) ? instances[0] : undefined
    const instance =
      gap ?? instances.find(({ heap }) => heap.fits(bytes + room)) ?? this.#addInstance(bytes)
    return new WasmBuffer(instance, bytes, dtype, this.#reclaim)
  }

  write(buffer: Buffer, data: ArrayBufferView, offset = 0): void {
    const { instance, address, bytes, dtype } = this.#own(buffer)
    const raw = data instanceof Float64Array ? encode(dtype, data) : data
    if (offset < 0 || offset + raw.byteLength > bytes) {
      throw new RangeError(`write: ${raw.byteLength} bytes at ${offset} do not fit ${bytes}`)
    }
    instance.store(address + offset, raw)
  }

  async read(buffer: Buffer, bytes = buffer.bytes, offset = 0): Promise<ArrayBuffer> {
    const copy = new Uint8Array(bytes)
    await this.readInto(buffer, copy, offset)
    return copy.buffer
  }

  async readInto(buffer: Buffer, target: Uint8Array, offset = 0): Promise<void> {
    const own = this.#own(buffer)
    const running = this.#reclaim.ended()
    if (running) {
      await running
      this.#own(buffer)
    }
    const { length } = target
    if (offset < 0 || offset + length > own.bytes) {
      throw new RangeError(`read: ${length} bytes at ${offset} lie outside ${own.bytes}`)
    }
    target.set(own.instance.view(own.address + offset, length))
  }

  prepare(plan: Plan): Prepared {
    this.#checkOpen()
    const binding = new Binding(this.name, plan, (buffer) => this.#own(buffer))
    const first = this.#instances[0] as Instance
    const replay = new Replay(plan, (name) => this.#kernel(name), first, this.#reclaim)
    binding.hold()
    const { instances } = replay
    const run = (stage: number | undefined) => {
      this.#checkOpen()
      // Also where it ended while threads started: its memory may be others' by now.
      binding.check()
      const running = replay.run(stage)
      return running && this.#reclaim.watch(running)
    }
    return {
      run: (stage) => {
        if (instances.every((instance) => instance.serving)) return run(stage)
        return Promise.all(instances.map((instance) => instance.ready)).then(() => run(stage))
      },
      close() {
        binding.close()
        replay.close()
      },
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    // Nothing of the memory stays reachable through a closed backend.
    for (const instance of this.#instances.splice(0)) instance.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #kernel(name: string): number {
    const index = this.#table.get(name)
    if (index !== undefined) return index
    throw new Error(`wasm: there is no kernel ${name}`)
  }

  /** One memory more, for a tensor of `bytes` that fits no other. */
  #addInstance(bytes = 0): Instance {
    const { instanceBytes } = this.#limits
    if (bytes > instanceBytes - (this.threads + 1) * scratchBytes) throw this.#tooLarge(bytes)
    const instance = new Instance(this.#kernels, this.threads, instanceBytes)
    instance.useWideTiles(this.#wide)
    this.#instances.push(instance)
    return instance
  }

  #tooLarge(bytes: number): Error {
    const { instanceBytes, limit } = this.#limits
    const left = limit - this.usedBytes
    const reason =
      bytes > left
        ? `${this.usedBytes} of the ${limit} that may be used are in use`
        : `one memory holds at most ${instanceBytes}`
    const error = new RangeError(
      `wasm: ${bytes} bytes do not fit: ${reason}. Close a model, or use a smaller dtype`,
    )
    return bytes > left ? Object.assign(error, { memoryLimit: limit }) : error
  }

  /** The instance of a buffer, which may have been freed: then it is that of what lay there. */
  #home(buffer: Buffer): Instance {
    this.#checkOpen()
    if (buffer instanceof WasmBuffer && this.#instances.includes(buffer.instance))
      return buffer.instance
    throw new TypeError("wasm: this buffer belongs to another backend")
  }

  #own(buffer: Buffer): WasmBuffer {
    this.#home(buffer)
    checkFreed(this.name, buffer)
    return buffer as WasmBuffer
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("wasm: the backend is closed. Open another one")
    for (const instance of this.#instances) instance.check()
  }
}
