// Chooses the next token from logits: greedy, temperature, top-k, top-p. Kernel: sample.as.ts.
import { constant, op, type Tensor } from "../engine/index.ts"
import { add, affine, div, equal, exp, less, log, mul, select, sub } from "./elementwise.ts"
import { broadcast, slice } from "./movement.ts"
import { randomUniform } from "./random.ts"
import { argmax, cumsum, max, sort, sum } from "./reduce.ts"

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

const smallest = (x: Tensor, mask: Tensor): Tensor =>
  affine(max(select(mask, affine(x, -1, 0), -huge)), -1, 0)

/** token = argmax(logits) at temperature 0, else argmax(logits/temperature + Gumbel noise) among the
 *  logits that top-k (0 keeps all), then top-p (1 keeps all) leave; equals at the edge all stay.
 *  The noise of row b comes from (seed, position[b]) alone (ops/random.ts).
 *  logits (B, V), controls [temperature, topK, topP] (3), seed (1), position (B) → token (B) */
export const sample = op({
  name: "sample",
  sig: "logits:(B,V) controls:(3) seed:i32(1) position:i32(B) -> token:i32(B)",
  params: "B V",
  meaning: ({ logits, controls, seed, position }, { B, V }) => {
    const control = (i: number) => broadcast(slice(controls, 0, i, 1), [B, 1])
    const [temperature, topK, topP] = [control(0), control(1), control(2)]
    const greedy = equal(temperature, constant([0], [1])) // (B, 1)
    const warm = div(logits, select(greedy, 1, temperature)) // (B, V)
    const uniform = randomUniform(seed, position, { K: V }) // (B, V)
    const noise = affine(log(affine(log(uniform), -1, 0)), -1, 0)
    const kept = select(less(warm, threshold(warm, topK, topP)), -huge, add(warm, noise))
    return argmax(select(broadcast(greedy, [B, V]), logits, kept))
  },
  rows: ({ B }) => B,
  cost: ({ B, V }) => ({ bytes: 4 * B * V, flops: B * V }),
  cases: [
    { B: 1, V: 32000 },
    { B: 3, V: 33 },
    { B: 2, V: 1283 },
    { B: 1, V: 1 },
  ].flatMap((shape) =>
    [
      [0, 0, 1],
      [1, 0, 1],
      [0.7, 5, 1],
      [1.3, 0, 0.9],
      [0.9, 20, 0.5],
    ].map((controls) => ({ ...shape, controls })),
  ),
  sample: (name) => (name === "position" ? (i) => 11 + i : name === "seed" ? () => 42 : undefined),
})
