// Dropout of an adapter's inputs: which are left out follows from the seed, the update, the row and the
// module alone, on every backend and number of threads.
import { type Backend, bufferOf, constant, type Tensor } from "../../engine/index.ts"
import type { Adapter, Holder } from "../../model/index.ts"
import { less, mul, randomUniform } from "../../ops/index.ts"

/** What is left out of a micro-batch. */
export interface Dropout {
  readonly seeds: Tensor // i32 (B·T)
  readonly rate: Tensor // (1)
  /** 1 / (1 − rate). */
  readonly gain: Tensor // (1)
}

export const allocateDropout = (held: Holder, rows: number): Dropout => ({
  seeds: held.allocate([rows], "i32"),
  rate: held.allocate([1]),
  gain: held.allocate([1]),
})

/** Prepares the next run: `draw` numbers micro-batches; rate 0 leaves nothing out. */
function writeDropout(
  backend: Backend,
  { seeds, rate, gain }: Dropout,
  { rate: p, seed, draw }: { readonly rate: number; readonly seed: number; readonly draw: number },
): void {
  backend.write(
    bufferOf(seeds),
    new Int32Array(seeds.size).fill((seed + Math.imul(0x9e3779b1, draw)) | 0),
  )
  backend.write(bufferOf(rate), Float32Array.of(p))
  backend.write(bufferOf(gain), Float32Array.of(1 / (1 - p)))
}

/** Prepares the next run of an adapter's training, by the number of its micro-batch; without one nothing is
 *  left out. */
export function leaveOut(
  backend: Backend,
  dropout: Dropout | undefined,
  adapter: Adapter | undefined,
  draw?: number,
): void {
  if (!dropout || !adapter) return
  const { dropout: usual, seed } = adapter.config
  const rate = draw === undefined ? 0 : usual
  writeDropout(backend, dropout, { rate, seed, draw: draw ?? 0 })
}

/** Rows of a module have streams of their own. */
const rowsOfStream = 2 ** 20

/** Leaves numbers of rows out, and makes up for them.  x (N, K) → (N, K) */
export const thinnedBy =
  ({ seeds, rate, gain }: Dropout) =>
  (x: Tensor, stream: number): Tensor => {
    const [N, K] = x.shape as [number, number]
    const streams = Int32Array.from({ length: N }, (_, n) => stream * rowsOfStream + n)
    const drawn = randomUniform(seeds, constant(streams, [N], "i32"), { K }) // (N, K)
    return mul(mul(x, less(rate, drawn)), gain)
  }
