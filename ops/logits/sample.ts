// Chooses the next token from logits: greedy, temperature, top-k, top-p. Kernel: sample.as.ts.
import { constant, op, type Tensor } from "../../engine/index.ts"
import { add, affine, div, equal, exp, less, log, mul, select, sub } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { broadcast, reshape, slice } from "../plain/movement.ts"
import { randomUniform } from "../plain/random.ts"
import { argmax, cumsum, max, sort, sum } from "../plain/reduce.ts"

const huge = 1e30

/** The smallest logit that top-k, then top-p of what it leaves, keep.  x (N, V) → (N, 1) */
function threshold(x: Tensor, topK: Tensor, topP: Tensor): Tensor {
  const V = x.shape[1] as number
  const sorted = sort(x) // (N, V)
  const rank = broadcast(
    constant(
      Float32Array.from({ length: V }, (_, i) => i),
      [V],
    ),
    x.shape,
  )
  const all = equal(topK, constant([0], [1]))
  const within = less(rank, select(all, V, topK)) // (N, V)
  const kth = smallest(sorted, within)
  const top = slice(sorted, 1, 0, 1)
  const mass = select(less(sorted, kth), 0, exp(sub(sorted, top))) // (N, V)
  const before = sub(cumsum(mass), mass)
  const nucleus = less(before, mul(sum(mass), topP)) // (N, V)
  return select(less(topP, constant([1], [1])), smallest(sorted, nucleus), kth)
}

const endless = (sign: number): Tensor => constant([sign * Number.POSITIVE_INFINITY], [1])

const smallest = (x: Tensor, mask: Tensor): Tensor =>
  affine(max(select(mask, affine(x, -1, 0), -huge)), -1, 0)

/** temperature, topK, topP of a row. */
const ways = [
  [0, 0, 1],
  [1, 0, 1],
  [0.7, 5, 1],
  [1.3, 0, 0.9],
  [0.9, 20, 0.5],
]
/** A way for each of B rows, from way i on. */
const inRows = (all: readonly number[][], i: number, B: number): number[] =>
  Array.from({ length: B }, (_, b) => all[(i + b) % all.length] ?? []).flat()
/** The ends of what the controls may be in f32: all of these choose the largest, or any. */
const least = 2 ** -126
const edges = [
  [least, 0, 1],
  [least, 3, 0.5],
  [1, 0, least],
  [1e30, 0, 0.9],
]
/** Two rows each: numbers that are not, the largest infinite, parts that are masked, and huge ones. */
const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY]
const oddRows = [
  [1, 2, 3, 4, nan, 5, 6, 6, 5, 4, 3, 2, 1, 0],
  [nan, nan, nan, nan, nan, nan, nan, 1, 2, 3, 4, 5, 6, nan],
  [1, inf, 3, 4, 5, 6, 7, -inf, -inf, -inf, -inf, -inf, -inf, -inf],
  [-inf, -9, -inf, -7, -inf, -8, -inf, -3, 2, -1e9, 3e38, -3e38, 1, 1],
]

/** token = argmax(logits) at temperature 0, else argmax(logits/temperature + Gumbel noise) among the
 *  logits that top-k (0 keeps all), then top-p (1 keeps all) leave; equals at the edge all stay.
 *  The noise of row b comes from (seed[b], position[b]) alone (ops/plain/random.ts). A row that holds NaN, or
 *  whose largest logit is infinite, has no token: −1.
 *  logits (B, V), controls (B, 3): temperature, topK, topP; seed (B), position (B) → token (B) */
export const sample = op({
  name: "sample",
  sig: "logits:(B,V) controls:(B,3) seed:i32(B) position:i32(B) -> token:i32(B)",
  params: "B V",
  meaning: ({ logits, controls, seed, position }, { B, V }) => {
    const [temperature, topK, topP] = [0, 1, 2].map((i) => slice(controls, 1, i, 1)) as Three // (B, 1)
    const greedy = equal(temperature, constant([0], [1])) // (B, 1)
    const top = max(logits) // (B, 1)
    const warm = div(sub(logits, top), select(greedy, 1, temperature)) // (B, V)
    const uniform = randomUniform(seed, position, { K: V }) // (B, V)
    const noise = affine(log(affine(log(uniform), -1, 0)), -1, 0)
    const kept = select(less(warm, threshold(warm, topK, topP)), -huge, add(warm, noise))
    const token = cast(argmax(select(broadcast(greedy, [B, V]), logits, kept)), "f32") // (B)
    const numbers = equal(sum(equal(logits, logits)), constant([V], [1])) // (B, 1)
    const bounded = mul(less(top, endless(1)), less(endless(-1), top)) // (B, 1)
    return cast(select(reshape(mul(numbers, bounded), [B]), token, -1), "i32")
  },
  gpu: [
    {
      from: ["logits/sample.wgsl", "plain/random.wgsl", "plain/reduce.wgsl"],
      fours: ["logits"],
      foursWhen: ({ V }) => V % 4 === 0,
    },
  ],
  rows: ({ B }) => B,
  cost: ({ B, V }) => ({ bytes: 4 * B * V, flops: B * V }),
  cases: [
    ...[
      { B: 1, V: 32000 },
      { B: 3, V: 33 },
      { B: 2, V: 1283 },
      { B: 1, V: 1 },
    ].flatMap((shape) => ways.map((_, i) => ({ ...shape, controls: inRows(ways, i, shape.B) }))),
    ...oddRows.flatMap((logits) => {
      const all = [...ways, ...edges]
      return all.map((_, i) => ({ B: 2, V: 7, logits, controls: inRows(all, i, 2) }))
    }),
  ],
  sample: (name) => inputsOf[name],
})

/** Values that rows have where a case gives none. */
const inputsOf: Readonly<Record<string, (i: number) => number>> = {
  position: (i) => 11 + i,
  seed: (i) => 42 + i,
  controls: (i) => ways.flat()[i % (3 * ways.length)] as number,
}

type Three = [Tensor, Tensor, Tensor]
