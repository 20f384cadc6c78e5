// Between the qkv product and attention in training: what qkNormRope does, at positions 0 … T−1 of
// every sequence and without a cache, and its gradient. Kernels: rope_train.as.ts.
import { type Gradients, op, type Tensor, vjpOf } from "../../engine/index.ts"
import { normalize } from "../norm/rmsnorm.ts"
import { broadcast, permute, reshape, slice } from "../plain/movement.ts"
import { partsOf, rowsPerPart, sumBlocks, total, wrongParts } from "../shared/parts.ts"

import { byFours, foursGroups, foursSizes, headsOf, rotate } from "./rope.ts"

type RopeTrainSizes = Record<"B" | "T" | "H" | "G" | "E" | "eps", number>

/** The op in plain ops, with a weight of its own for every position of each sequence.
 *  qkv (B·T, (H+2G)·E), qNorms, kNorms (B, 1, T, E), angles (C, E) */
function normRope(
  qkv: Tensor,
  qNorms: Tensor,
  kNorms: Tensor,
  angles: Tensor,
  { B, T, H, G, E, eps }: RopeTrainSizes,
) {
  const part = headsOf(reshape(qkv, [B, T, H + 2 * G, E]))
  const here = reshape(slice(angles, 0, 0, T), [1, 1, T, E])
  const q = rotate(normalize(part(0, H), qNorms, eps), here) // (B, H, T, E)
  const keys = rotate(normalize(part(H, G), kNorms, eps), here) // (B, G, T, E)
  const values = part(H + G, G) // (B, G, T, E)
  return { q: reshape(permute(q, [0, 2, 1, 3]), [B * T, H * E]), keys, values }
}

/** A weight for every position.  w (E) → (B, 1, T, E) */
const everywhere = (w: Tensor, { B, T, E }: RopeTrainSizes): Tensor =>
  broadcast(reshape(w, [1, 1, 1, E]), [B, 1, T, E])

const refusal = ({ E, T, C = T }: { E: number; T: number; C?: number }): string | undefined => {
  if (E % 2) return `head size E ${E} is odd`
  return T > C ? `${T} positions, angles of ${C}` : undefined
}

const cost = ({ B, T, H, G, E }: Omit<RopeTrainSizes, "eps">) => ({
  bytes: 8 * B * T * (H + 2 * G) * E,
  flops: 8 * B * T * (H + G) * E,
})

const cases = [
  { B: 1, T: 1, H: 12, G: 3, E: 64, C: 64, eps: 1e-6 },
  { B: 2, T: 31, H: 4, G: 2, E: 16, C: 33, eps: 1e-6 },
  { B: 3, T: 9, H: 2, G: 1, E: 6, C: 9, eps: 1e-5 },
  { B: 1, T: 19, H: 4, G: 4, E: 128, C: 19, eps: 1e-6 },
] as const

type PlainInputs = Record<"qkv" | "qNorm" | "kNorm" | "angles", Tensor>

function plainTrain({ qkv, qNorm, kNorm, angles }: PlainInputs, sizes: RopeTrainSizes) {
  return normRope(qkv, everywhere(qNorm, sizes), everywhere(kNorm, sizes), angles, sizes)
}

/** q = rope(rmsNorm(q)), keys = rope(rmsNorm(k)) and values = v at positions 0 … T−1.
 *  qkv (B·T, (H+2G)·E): heads of queries, then keys, then values; qNorm, kNorm (E); angles (C, E)
 *  → q (B·T, H·E), keys, values (B, G, T, E).  B and G are attributes. */
export const qkNormRopeTrain = op({
  name: "qkNormRopeTrain",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    -> q:(B*T,H*E) keys:(B,G,T,E) values:(B,G,T,E)`,
  params: "B T H G E C eps",
  check: refusal,
  meaning: plainTrain,
  vjp: (d, { qkv, qNorm, kNorm, angles }, sizes): Gradients | undefined => {
    if (!d.q || !d.keys || !d.values) return undefined
    const { B, T, G, eps } = sizes
    const cotangents = [d.q, d.keys, d.values] as const
    const attrs = { B, G, eps, R: partsOf(B * T) }
    const grad = qkNormRopeTrainGrad(qkv, qNorm, kNorm, angles, ...cotangents, attrs)
    // Where nobody learns the angles, this part of the graph is never run.
    const again = (qkv: Tensor, qNorm: Tensor, kNorm: Tensor, angles: Tensor) =>
      Object.values(plainTrain({ qkv, qNorm, kNorm, angles }, sizes))
    const [, , , dAngles] = vjpOf(again, [qkv, qNorm, kNorm, angles], cotangents)
    return {
      qkv: grad.dqkv,
      qNorm: total(grad.dqParts),
      kNorm: total(grad.dkParts),
      angles: dAngles as Tensor,
    }
  },
  gpu: [
    {
      entry: "qkNormRopeTrainFours",
      from: ["attention/rope_fours.wgsl"],
      when: byFours,
      constants: foursSizes,
      groups: foursGroups,
      fours: ["qkv", "qNorm", "kNorm", "angles", "q", "keys", "values"],
    },
    { from: ["attention/rope_train.wgsl"] },
  ],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost,
  cases,
})

/** Cotangents of qkNormRopeTrain's inputs, those of qNorm and kNorm in parts of 16 rows of qkv.
 *  qkv (B·T, (H+2G)·E), qNorm, kNorm (E), angles (C, E), dq (B·T, H·E), dKeys, dValues (B, G, T, E)
 *  → dqkv (B·T, (H+2G)·E), dqParts, dkParts (R, E), R = ⌈B·T/16⌉ */
export const qkNormRopeTrainGrad = op({
  name: "qkNormRopeTrainGrad",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    dq:(B*T,H*E) dKeys:(B,G,T,E) dValues:(B,G,T,E) \
    -> dqkv:(B*T,(H+2*G)*E) dqParts:(R,E) dkParts:(R,E)`,
  params: "B T H G E R eps",
  check: ({ B, T, E, R }) => refusal({ E, T }) ?? wrongParts(B * T, R),
  meaning: ({ qkv, qNorm, kNorm, angles, dq, dKeys, dValues }, sizes) => {
    const [qNorms, kNorms] = [everywhere(qNorm, sizes), everywhere(kNorm, sizes)]
    const again = (qkv: Tensor, qNorms: Tensor, kNorms: Tensor) =>
      Object.values(normRope(qkv, qNorms, kNorms, angles, sizes))
    const found = vjpOf(again, [qkv, qNorms, kNorms], [dq, dKeys, dValues])
    const [dqkv, dqNorms, dkNorms] = found as [Tensor, Tensor, Tensor]
    const parts = (d: Tensor) => sumBlocks(reshape(d, [sizes.B * sizes.T, sizes.E]))
    return { dqkv, dqParts: parts(dqNorms), dkParts: parts(dkNorms) }
  },
  gpu: [
    {
      entry: "qkNormRopeTrainGradFours",
      from: ["attention/rope_fours.wgsl"],
      when: byFours,
      constants: foursSizes,
      fours: [
        "qkv",
        "qNorm",
        "kNorm",
        "angles",
        "dq",
        "dKeys",
        "dValues",
        "dqkv",
        "dqParts",
        "dkParts",
      ],
    },
    { from: ["attention/rope_train.wgsl"] },
  ],
  rows: ({ R }) => R,
  cost: ({ B, T, H, G, E }) => ({
    bytes: 12 * B * T * (H + 2 * G) * E,
    flops: 24 * B * T * (H + G) * E,
  }),
  cases: cases.map((test) => ({ ...test, R: Math.ceil((test.B * test.T) / rowsPerPart) })),
})
