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
} from "../../engine/index.ts"
import { lanes, multiplyAdd, streamSum } from "../../ops/index.ts"
import { spreadOf } from "./statistics.ts"

export interface Ceilings {
  readonly bytesPerSecond: number
  readonly flopsPerSecond: number
}

/** How much work shows what a kind of machine can do. */
interface Load {
  /** Larger than the last-level cache that a desktop, or a virtual machine, has to itself. */
  readonly streamBytes: number
  readonly parts: number
  /** Of multiplyAdd; the fastest form counts. */
  readonly lanes: readonly number[]
  /** Multiply-adds in a row that the first measurement begins with. */
  readonly rounds: number
  /** A run that takes less is made longer, or queued several times. */
  readonly leastMs: number
}

const processor: Load = {
  streamBytes: 256 << 20,
  parts: 64,
  lanes: [lanes.narrow, lanes.wide],
  rounds: (1 << 20) / 64,
  leastMs: 0,
}
/** One binding has at least 128 MiB; results take a while to come back. */
const gpu: Load = {
  streamBytes: 128 << 20,
  parts: 1024,
  lanes: [lanes.gpu],
  rounds: 16,
  leastMs: 10,
}

/** Weights smaller than this may come from a cache and show nothing of the memory. */
const leastStreamBytes = 64 << 20
/** Code has to run for a while before the runtime optimizes it. */
const warmUpMs = 400
const tries = 5

/**
 * Measures the ceilings once thoroughly, and again beside each measurement of a model: on a shared
 * machine they move, and only what was measured together may be compared.
 */
export class CeilingMeter {
  readonly #backend: Backend
  readonly #load: Load
  #products: { readonly prepared: Prepared; readonly flops: number }[] = []
  readonly #held: Tensor[]
  #first: Ceilings = { bytesPerSecond: 0, flopsPerSecond: 0 }

  private constructor(backend: Backend) {
    this.#backend = backend
    this.#load = backend.ahead ? gpu : processor
    this.#held = [0, 1].map(() => allocate(backend, [this.#load.parts]))
  }

  /** Measures both ceilings thoroughly, with a large buffer that is freed again. */
  static async open(backend: Backend): Promise<CeilingMeter> {
    const meter = new CeilingMeter(backend)
    const { streamBytes, parts } = meter.#load
    const x = allocate(backend, [parts, streamBytes / 64 / parts, 16])
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
   * once, as a token has to. Matrices that all caches together could hold say nothing of memory, and
   * those of one step are soon over on a GPU: then the first measurement stands.
   */
  over(matrices: readonly Tensor[]): { measure(): Promise<Ceilings>; close(): void } {
    const { parts } = this.#load
    const parted = matrices.map((w) => {
      const columns = Math.floor(w.bytes / 64 / parts / 4) * 4
      return bound(bufferOf(w), [parts, columns, 16])
    })
    const bytes = parted.reduce((sum, x) => sum + x.bytes, 0)
    const outputs = parted.map(() => allocate(this.#backend, [parts]))
    const updates = parted.flatMap((x, i): Update[] =>
      x.size > 0 ? [[outputs[i] as Tensor, streamSum(x)]] : [],
    )
    const prepared = this.#backend.prepare(plan(updates, this.#backend))
    const measure = async (): Promise<Ceilings> => {
      const large = this.#load === processor && bytes >= leastStreamBytes
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
    for (const { prepared } of this.#products) prepared.close()
    for (const tensor of this.#held) bufferOf(tensor).free()
  }

  async #stream(x: Tensor, leastMs: number): Promise<number> {
    const y = this.#held[1] as Tensor
    const prepared = this.#backend.prepare(plan([[y, streamSum(x)]], this.#backend))
    const seconds = await this.#seconds(prepared, leastMs, y)
    prepared.close()
    return x.bytes / seconds
  }

  /** The better of the forms: which one that is depends on the width of registers. */
  async #multiply(leastMs: number): Promise<number> {
    if (this.#products.length === 0) await this.#prepareProducts()
    const rates: number[] = []
    for (const { prepared, flops } of this.#products) {
      rates.push(flops / (await this.#seconds(prepared, leastMs, this.#held[1] as Tensor)))
    }
    return Math.max(...rates)
  }

  /** With as many rounds as take long enough to be measured, and hide the rest of a run. */
  async #prepareProducts(): Promise<void> {
    const [x, y] = this.#held as [Tensor, Tensor]
    const { lanes, rounds, leastMs } = this.#load
    for (const Lanes of lanes) {
      for (let Count = rounds; ; Count *= 4) {
        const recorded = plan([[y, multiplyAdd(x, { Count, Lanes })]], this.#backend)
        const prepared = this.#backend.prepare(recorded)
        const flops = recorded.steps.reduce((sum, s) => sum + s.op.cost(s.call.params).flops, 0)
        await this.#time(prepared, y, 1)
        if ((await this.#time(prepared, y, 1)) >= 5 * leastMs) {
          this.#products.push({ prepared, flops })
          break
        }
        prepared.close()
      }
    }
  }

  /** Median time of a run, until a result is there, after `leastMs` of warming up; of several runs
   *  queued where one is over too soon. */
  async #seconds(prepared: Prepared, leastMs: number, result: Tensor): Promise<number> {
    const times: number[] = []
    const begin = performance.now()
    let runs = 1
    while (times.length < tries) {
      const took = await this.#time(prepared, result, runs)
      if (took < this.#load.leastMs) runs *= 2
      else if (performance.now() - begin > leastMs) times.push(took / runs)
    }
    return spreadOf(times).median / 1000
  }

  async #time(prepared: Prepared, result: Tensor, runs: number): Promise<number> {
    const start = performance.now()
    for (let i = 0; i < runs; i++) await prepared.run()
    await this.#backend.read(bufferOf(result), 4)
    return performance.now() - start
  }
}
