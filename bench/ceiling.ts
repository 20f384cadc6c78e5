// What this machine can do at best: the speed at which all threads together read memory, and the
// rate at which the build multiplies and adds. Every throughput is printed beside its ceiling.
import {
  allocate,
  type Backend,
  bufferOf,
  type Plan,
  type Prepared,
  plan,
  type Tensor,
} from "../engine/index.ts"
import { multiplyAdd, streamSum } from "../ops/index.ts"

export interface Ceilings {
  readonly bytesPerSecond: number
  readonly flopsPerSecond: number
}

/** Larger than any last-level cache that a desktop or a virtual machine has to itself. */
const streamBytes = 256 << 20
const parts = 64
const rounds = 1 << 20
const tries = 7
/** Code has to run for a while before the runtime optimises it. */
const leastMs = 400

/** Measures both ceilings; the best of a few tries, since disturbances only slow them. */
export async function measureCeilings(backend: Backend): Promise<Ceilings> {
  return {
    bytesPerSecond: await bandwidth(backend),
    flopsPerSecond: await multiplyAddRate(backend),
  }
}

/** Bytes per second of reading a buffer of 256 MiB once, front to back on each thread. */
export async function bandwidth(backend: Backend): Promise<number> {
  const x = allocate(backend, [parts, streamBytes / 4 / parts])
  const y = allocate(backend, [parts])
  try {
    // Pages never written would all be one page of zeros, in the cache.
    const block = new Float32Array(x.size / parts).fill(1)
    for (let i = 0; i < parts; i++) backend.write(bufferOf(x), block, i * block.byteLength)
    return streamBytes / (await bestSeconds(backend, plan([[y, streamSum(x)]], backend)))
  } finally {
    free(x, y)
  }
}

async function multiplyAddRate(backend: Backend): Promise<number> {
  const x = allocate(backend, [parts])
  const y = allocate(backend, [parts])
  try {
    const rates: number[] = []
    for (const Wide of [0, 1]) {
      const recorded = plan([[y, multiplyAdd(x, { Count: rounds / parts, Wide })]], backend)
      const [step] = recorded.steps
      const flops = step?.op.cost(step.call.params).flops ?? 0
      rates.push(flops / (await bestSeconds(backend, recorded)))
    }
    return Math.max(...rates)
  } finally {
    free(x, y)
  }
}

async function bestSeconds(backend: Backend, recorded: Plan): Promise<number> {
  const prepared: Prepared = backend.prepare(recorded)
  try {
    let best = Number.POSITIVE_INFINITY
    const begin = performance.now()
    for (let i = 0; i < tries || performance.now() - begin < leastMs; i++) {
      const start = performance.now()
      await prepared.run()
      best = Math.min(best, performance.now() - start)
    }
    return best / 1000
  } finally {
    prepared.close()
  }
}

function free(...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) bufferOf(tensor).free()
}
