// What this machine can do at best: the speed at which all threads together read memory, and the
// rate at which the build multiplies and adds. Every throughput is printed beside its ceiling.
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  offsetOf,
  type Prepared,
  plan,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { lanes, multiplyAdd, multiplyAddWhole, streamSum, waysToRead } from "../../ops/index.ts"
import { spreadOf } from "./statistics.ts"

export interface Ceilings {
  /** The best of every way to read that the backend has. */
  readonly bytesPerSecond: number
  /** Of floats, or of what the products at hand multiply. */
  readonly flopsPerSecond: number
}

/** What a model's products multiply: floats, or on a processor whole numbers. */
export type Factors = "floats" | "whole"

/** How much work shows what a kind of machine can do. */
interface Load {
  /** Larger than the last-level cache that a desktop, or a virtual machine, has to itself. */
  readonly streamBytes: number
  readonly parts: number
  readonly ways: readonly (typeof waysToRead)[number][]
  /** Of multiplyAdd; the fastest form counts. */
  readonly lanes: readonly number[]
  /** Multiply-adds in a row that the first measurement begins with. */
  readonly rounds: number
  /** A run that takes less is made longer, or queued several times: of products, of reads. */
  readonly leastMs: number
  readonly leastReadMs: number
}

const processor: Load = {
  streamBytes: 256 << 20,
  parts: 64,
  ways: waysToRead,
  lanes: [lanes.narrow, lanes.wide],
  rounds: (1 << 20) / 64,
  leastMs: 0,
  leastReadMs: 2,
}
/** Without kernels a read is many operations, and memory is no ceiling. */
const plain: Load = { ...processor, streamBytes: 16 << 20 }
/** One binding has at least 128 MiB; results take a while to come back. */
const gpu: Load = {
  streamBytes: 128 << 20,
  parts: 1024,
  ways: waysToRead.slice(0, 1),
  lanes: [lanes.gpu],
  rounds: 16,
  leastMs: 10,
  leastReadMs: 10,
}

/** A part of a matrix that is read by itself is as long as this, or the matrix in fewer parts. */
const leastPartBytes = 4096
/** Code has to run for a while before the runtime optimizes it. */
const warmUpMs = 400
const usualTries = 5

/** Multiply-adds that are ready to run. */
interface Product {
  readonly prepared: Prepared
  readonly flops: number
}

/**
 * Measures the ceilings once thoroughly, and again beside each measurement of a model: on a shared
 * machine they move, and only what was measured together may be compared.
 */
export class CeilingMeter {
  readonly #backend: Backend
  readonly #load: Load
  readonly #products: Partial<Record<Factors, Product[]>> = {}
  readonly #held: Tensor[]
  #first: Ceilings = { bytesPerSecond: 0, flopsPerSecond: 0 }

  private constructor(backend: Backend) {
    this.#backend = backend
    const isPlain = !backend.has(streamSum.op.name)
    this.#load = backend.ahead ? gpu : isPlain ? plain : processor
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
    const stream = meter.#reading([x])
    const bytesPerSecond = await stream.measure(warmUpMs)
    stream.close()
    meter.#first = { bytesPerSecond, flopsPerSecond: await meter.#multiply("floats", warmUpMs) }
    bufferOf(x).free()
    return meter
  }

  /** A meter of multiply-adds alone, which measures nothing until it is asked to. */
  static ofProducts(backend: Backend): { measure(): Promise<number>; close(): void } {
    const meter = new CeilingMeter(backend)
    return { measure: () => meter.#multiply("floats", 0), close: () => meter.close() }
  }

  /** What was measured at first. */
  get ceilings(): Ceilings {
    return this.#first
  }

  /**
   * Measures again, briefly, and so often as it is called: reads of a model's matrices in the order and
   * as often as a token has to, so that what comes from a cache then does here. On a GPU those of one step
   * are soon over: there the first measurement stands.
   */
  over(
    matrices: readonly Tensor[],
    factors: Factors = "floats",
  ): { measure(): Promise<Ceilings>; close(): void } {
    const isProcessor = this.#load !== gpu
    const readable = matrices.filter(({ bytes }) => bytes >= leastPartBytes)
    const reading = isProcessor && readable.length > 0 ? this.#reading(readable) : undefined
    const kind = isProcessor ? factors : "floats"
    const measure = async (): Promise<Ceilings> => {
      const bytesPerSecond = (await reading?.measure(0)) ?? this.#first.bytesPerSecond
      return { bytesPerSecond, flopsPerSecond: await this.#multiply(kind, 0) }
    }
    return { measure, close: () => reading?.close() }
  }

  close(): void {
    for (const { prepared } of Object.values(this.#products).flat()) prepared.close()
    for (const tensor of this.#held) bufferOf(tensor).free()
  }

  /** Reads of all matrices, in every way; the best way's bytes per second count. */
  #reading(matrices: readonly Tensor[]): {
    measure(warmMs: number): Promise<number>
    close(): void
  } {
    const { parts: most } = this.#load
    // Without a kernel they would all be the same.
    const ways = this.#load.ways.slice(0, this.#backend.has(streamSum.op.name) ? undefined : 1)
    const parted = matrices.map((w) => {
      const parts = Math.max(1, Math.min(most, Math.floor(w.bytes / leastPartBytes)))
      const columns = Math.floor(w.bytes / 64 / parts / 4) * 4
      return bound(bufferOf(w), [parts, columns, 16], "f32", offsetOf(w))
    })
    const bytes = parted.reduce((sum, x) => sum + x.bytes, 0)
    const outputs = parted.map(({ shape }) => allocate(this.#backend, [shape[0] as number]))
    const prepared = ways.map((way) => {
      const updates = parted.map((x, i): Update => [outputs[i] as Tensor, streamSum(x, way)])
      return this.#backend.prepare(plan(updates, this.#backend))
    })
    const measure = async (warmMs: number): Promise<number> => {
      const seconds = await this.#leastSeconds(prepared, warmMs, outputs.at(-1) as Tensor)
      return bytes / seconds
    }
    const close = (): void => {
      for (const each of prepared) each.close()
      for (const tensor of outputs) bufferOf(tensor).free()
    }
    return { measure, close }
  }

  /** The better of the forms: which one that is depends on the width of registers. */
  async #multiply(factors: Factors, warmMs: number): Promise<number> {
    const known = this.#products[factors]
    const products = known ?? (await this.#prepareProducts(factors))
    this.#products[factors] = products
    const warming = { warmMs: known ? warmMs : Math.max(warmMs, warmUpMs) }
    const rates: number[] = []
    for (const { prepared, flops } of products) {
      rates.push(flops / (await this.#seconds(prepared, this.#held[1] as Tensor, warming)))
    }
    return Math.max(...rates)
  }

  /** With as many rounds as take long enough to be measured, and hide the rest of a run. */
  async #prepareProducts(factors: Factors): Promise<Product[]> {
    const [x, y] = this.#held as [Tensor, Tensor]
    const { lanes, rounds, leastMs } = this.#load
    const products: Product[] = []
    const multiply = factors === "whole" ? multiplyAddWhole : multiplyAdd
    for (const Lanes of lanes) {
      for (let Count = rounds; ; Count *= 4) {
        const recorded = plan([[y, multiply(x, { Count, Lanes })]], this.#backend)
        const prepared = this.#backend.prepare(recorded)
        const flops = recorded.steps.reduce((sum, s) => sum + s.op.cost(s.call.params).flops, 0)
        await this.#time(prepared, y, 1)
        if ((await this.#time(prepared, y, 1)) >= 5 * leastMs) {
          products.push({ prepared, flops })
          break
        }
        prepared.close()
      }
    }
    return products
  }

  /** Least of the median times of several plans, which are run in turns. */
  async #leastSeconds(plans: readonly Prepared[], warmMs: number, result: Tensor): Promise<number> {
    const times = plans.map((): number[] => [])
    const { leastReadMs } = this.#load
    const begin = performance.now()
    while ((times[0]?.length ?? 0) < usualTries) {
      const warm = performance.now() - begin > warmMs
      for (const [i, prepared] of plans.entries()) {
        const seconds = await this.#seconds(prepared, result, { tries: 1, leastMs: leastReadMs })
        if (warm) times[i]?.push(seconds)
      }
    }
    return Math.min(...times.map((each) => spreadOf(each).median))
  }

  /** Median time of a run, until a result is there, after `warmMs` of warming up; of several runs queued
   *  where one is over too soon. */
  async #seconds(
    prepared: Prepared,
    result: Tensor,
    { warmMs = 0, leastMs = this.#load.leastMs, tries = usualTries },
  ): Promise<number> {
    const times: number[] = []
    const begin = performance.now()
    let runs = 1
    while (times.length < tries) {
      const took = await this.#time(prepared, result, runs)
      if (took < leastMs) runs *= 2
      else if (performance.now() - begin > warmMs) times.push(took / runs)
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
