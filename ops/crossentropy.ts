// Cross-entropy of each row; how rows make a loss is the model's (model/loss.ts).
import { constant, op } from "../engine/index.ts"
import { add, equal, exp, log, mul, sub } from "./elementwise.ts"
import { cast } from "./indexing.ts"
import { reshape } from "./movement.ts"
import { max, sum } from "./reduce.ts"

/** lse = ln Σ exp(logits),  nll = lse − logits[target]; a target outside 0 … V−1 counts as logit 0.
 *  logits (N, V), targets (N) → nll (N), lse (N) */
export const crossEntropy = op({
  name: "crossEntropy",
  sig: "logits:(N,V) targets:i32(N) -> nll:(N) lse:(N)",
  params: "N V",
  meaning: ({ logits, targets }, { N, V }) => {
    const top = max(logits) // (N, 1)
    const lse = add(log(sum(exp(sub(logits, top)))), top) // (N, 1)
    const vocabulary = constant(
      Float32Array.from({ length: V }, (_, v) => v),
      [V],
    )
    const chosen = equal(reshape(cast(targets, "f32"), [N, 1]), vocabulary) // (N, V)
    const nll = sub(lse, sum(mul(chosen, logits)))
    return { nll: reshape(nll, [N]), lse: reshape(lse, [N]) }
  },
  vjp: (d, { logits, targets, lse }, { N, V }) => {
    const given = d.nll && d.lse ? add(d.nll, d.lse) : (d.nll ?? d.lse)
    if (!given) return undefined
    const p = exp(sub(logits, reshape(lse, [N, 1]))) // (N, V)
    const all = mul(p, reshape(given, [N, 1]))
    if (!d.nll) return { logits: all }
    const vocabulary = constant(
      Float32Array.from({ length: V }, (_, v) => v),
      [V],
    )
    const chosen = equal(reshape(cast(targets, "f32"), [N, 1]), vocabulary)
    return { logits: sub(all, mul(chosen, reshape(d.nll, [N, 1]))) }
  },
  rows: ({ N }) => N,
  cost: ({ N, V }) => ({ bytes: 4 * N * V, flops: 20 * N * V }),
  cases: [
    { N: 1, V: 32000 },
    { N: 18, V: 50 },
    { N: 3, V: 1283 },
    { N: 5, V: 1 },
  ],
  sample: (name, { V }) => (name === "targets" ? (i) => (i * 7) % V : undefined),
})
