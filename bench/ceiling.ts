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
} from "../engine/index.ts"
import { multiplyAdd, streamSum } from "../ops/index.ts"

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
 * Keeps the best that the machine has shown. Other programs only slow it down, and not always at the
 * same moment as the model: so it is asked again between the measurements of a model.
 */
export class CeilingMeter {
  readonly #backend: Backend
  readonly #lanes: readonly { readonly prepared: Prepared; readonly flops: number }[]
  readonly #held: Tensor[]
  #bytesPerSecond = 0
  #flopsPerSecond = 0

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
    await meter.#stream(x, warmUpMs)
    await meter.#multiply(warmUpMs)
    bufferOf(x).free()
    return meter
  }

  /** The best so far. */
  get ceilings(): Ceilings {
    return { bytesPerSecond: this.#bytesPerSecond, flopsPerSecond: this.#flopsPerSecond }
  }

  /** Measures again, briefly: reads a weight tensor if it is larger than caches are. */
  async again(weights: Tensor): Promise<void> {
    const columns = Math.floor(weights.bytes / 4 / parts / 64) * 64
    if (weights.bytes >= leastStreamBytes) {
      await this.#stream(bound(bufferOf(weights), [parts, columns]), 0)
    }
    await this.#multiply(0)
  }

  close(): void {
    for (const { prepared } of this.#lanes) prepared.close()
    for (const tensor of this.#held) bufferOf(tensor).free()
  }

  async #stream(x: Tensor, leastMs: number): Promise<void> {
    const y = this.#held[1] as Tensor
    const prepared = this.#backend.prepare(plan([[y, streamSum(x)]], this.#backend))
    const seconds = await bestSeconds(prepared, leastMs)
    prepared.close()
    this.#bytesPerSecond = Math.max(this.#bytesPerSecond, x.bytes / seconds)
  }

  async #multiply(leastMs: number): Promise<void> {
    for (const { prepared, flops } of this.#lanes) {
      const rate = flops / (await bestSeconds(prepared, leastMs))
      this.#flopsPerSecond = Math.max(this.#flopsPerSecond, rate)
    }
  }
}

async function bestSeconds(prepared: Prepared, leastMs: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  const begin = performance.now()
  for (let i = 0; i < tries || performance.now() - begin < leastMs; i++) {
    const start = performance.now()
    await prepared.run()
    best = Math.min(best, performance.now() - start)
  }
  return best / 1000
}
