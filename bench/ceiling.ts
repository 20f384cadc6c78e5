// What this machine can do at best: the speed at which all threads together read memory, and the
// rate at which the build multiplies and adds. Every throughput is printed beside its ceiling.
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  type Prepared,
  plan,
  type Tensor,
  type Update,
} from "../engine/index.ts"
import { multiplyAdd, streamSum } from "../ops/index.ts"
import { spreadOf } from "./statistics.ts"

export interface Ceilings {
  readonly bytesPerSecond: number
  readonly flopsPerSecond: number
}

/** Larger than the last-level cache that a desktop, or a virtual machine, has to itself. */
const streamBytes = 256 << 20
/** Weights smaller than this may come from a cache and show nothing of the memory. */
const leastStreamBytes = 64 << 20
const parts = 64
const rounds = 1 << 20
/** Code has to run for a while before the runtime optimises it. */
const warmUpMs = 400
const tries = 5

/**
 * Measures the ceilings once thoroughly, and again beside each measurement of a model: on a shared
 * machine they move, and only what was measured together may be compared.
 */
export class CeilingMeter {
  readonly #backend: Backend
  readonly #lanes: readonly { readonly prepared: Prepared; readonly flops: number }[]
  readonly #held: Tensor[]
  #first: Ceilings = { bytesPerSecond: 0, flopsPerSecond: 0 }

  private constructor(backend: Backend) {
    this.#backend = backend
    const x = allocate(backend, [parts])
    const y = allocate(backend, [parts])
    this.#held = [x, y]
    this.#lanes = [0, 1].map((Wide) => {
      const recorded = plan([[y, multiplyAdd(x, { Count: rounds / parts, Wide })]], backend)
      const flops = recorded.steps.reduce((sum, s) => sum + s.op.cost(s.call.params).flops, 0)
      return { prepared: backend.prepare(recorded), flops }
    })
  }

  /** Measures both ceilings thoroughly, with a buffer of 256 MiB that is freed again. */
  static async open(backend: Backend): Promise<CeilingMeter> {
    const meter = new CeilingMeter(backend)
    const x = allocate(backend, [parts, streamBytes / 4 / parts])
    // Pages never written would all be one page of zeros, in the cache.
    const block = new Float32Array(x.size / parts).fill(1)
    for (let i = 0; i < parts; i++) backend.write(bufferOf(x), block, i * block.byteLength)
    const bytesPerSecond = await meter.#stream(x, warmUpMs)
    meter.#first = { bytesPerSecond, flopsPerSecond: await meter.#multiply(warmUpMs) }
    bufferOf(x).free()
    return meter
  }

  /** A meter of multiply-adds alone, which measures nothing until it is asked to. */
  static ofProducts(backend: Backend): { measure(): Promise<number>; close(): void } {
    const meter = new CeilingMeter(backend)
    return { measure: () => meter.#multiply(0), close: () => meter.close() }
  }

  /** What was measured at first. */
  get ceilings(): Ceilings {
    return this.#first
  }

  /**
   * Measures again, briefly, and so often as it is called: memory by reading a model's matrices, each
   * once, as a token has to. Matrices that all caches together could hold say nothing of memory: then
   * the first measurement stands.
   */
  over(matrices: readonly Tensor[]): { measure(): Promise<Ceilings>; close(): void } {
    const parted = matrices.map((w) => {
      const columns = Math.floor(w.bytes / 4 / parts / 64) * 64
      return bound(bufferOf(w), [parts, columns])
    })
    const bytes = parted.reduce((sum, x) => sum + x.bytes, 0)
    const outputs = parted.map(() => allocate(this.#backend, [parts]))
    const updates = parted.flatMap((x, i): Update[] =>
      x.size > 0 ? [[outputs[i] as Tensor, streamSum(x)]] : [],
    )
    const prepared = this.#backend.prepare(plan(updates, this.#backend))
    const measure = async (): Promise<Ceilings> => {
      const large = bytes >= leastStreamBytes
      const seconds = large ? await this.#seconds(prepared, 0, outputs.at(-1) as Tensor) : 0
      const bytesPerSecond = large ? bytes / seconds : this.#first.bytesPerSecond
      return { bytesPerSecond, flopsPerSecond: await this.#multiply(0) }
    }
    const close = (): void => {
      prepared.close()
      for (const tensor of outputs) bufferOf(tensor).free()
    }
    return { measure, close }
  }

  close(): void {
    for (const { prepared } of this.#lanes) prepared.close()
    for (const tensor of this.#held) bufferOf(tensor).free()
  }

  async #stream(x: Tensor, leastMs: number): Promise<number> {
    const y = this.#held[1] as Tensor
    const prepared = this.#backend.prepare(plan([[y, streamSum(x)]], this.#backend))
    const seconds = await this.#seconds(prepared, leastMs, y)
    prepared.close()
    return x.bytes / seconds
  }

  /** The better of the two forms: which one that is depends on the width of registers. */
  async #multiply(leastMs: number): Promise<number> {
    const rates: number[] = []
    for (const { prepared, flops } of this.#lanes) {
      rates.push(flops / (await this.#seconds(prepared, leastMs, this.#held[1] as Tensor)))
    }
    return Math.max(...rates)
  }

  /** Median time of a run, until a result is there, after `leastMs` of warming up. */
  async #seconds(prepared: Prepared, leastMs: number, result: Tensor): Promise<number> {
    const times: number[] = []
    const begin = performance.now()
    while (times.length < tries) {
      const start = performance.now()
      await prepared.run()
      await this.#backend.read(bufferOf(result), 4)
      const end = performance.now()
      if (end - begin > leastMs) times.push(end - start)
    }
    return spreadOf(times).median / 1000
  }
}
