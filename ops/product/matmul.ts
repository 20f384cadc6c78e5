// Products with weights. A weight matrix (N, K) is kept in panels (P, K, 16): panel p holds outputs
// 16p … 16p+15, k by k, so that decode and prefill both read it front to back; missing outputs of
// the last panel are zeros. Dtypes f32, f16, bf16; sums in f32. The norm before a product, the
// activation or the residual add after it are part of it where they stand beside it in the model.
// Kernels: matmul.as.ts.
import { op } from "../../engine/index.ts"

import { normalize } from "../norm/rmsnorm.ts"
import { add } from "../plain/elementwise.ts"
import { floatKernels } from "./kernels.ts"
import { matmulGradW, matmulGradX } from "./matmul_grad.ts"
import { panelsOf, panelWidth, product, unpanel } from "./panels.ts"
import { gated } from "./swiglu.ts"

interface Product {
  readonly M: number
  readonly K: number
  readonly P: number
  readonly wType: number
}

const cost = ({ M, K, P, wType }: Product) => ({
  bytes: P * panelWidth * K * (wType === 0 ? 4 : 2) + 4 * M * (K + P * panelWidth),
  flops: 2 * M * K * P * panelWidth,
})

const shapes = [
  { M: 1, K: 1280, P: 8, N: 128 },
  { M: 1, K: 257, P: 1, N: 13 },
  { M: 37, K: 7, P: 1, N: 1 },
  { M: 35, K: 640, P: 3, N: 48 },
  { M: 7, K: 33, P: 3, N: 33 },
  { M: 3, K: 2100, P: 1, N: 5 },
] as const
const dtypes = ["f32", "f16", "bf16"] as const
const cases = dtypes.flatMap((wType) => shapes.map((shape) => ({ ...shape, wType })))
const gatedCases = cases.map(({ N, ...rest }) => ({ ...rest, F: N }))
const eps = 1e-6

const fits = ({ N, P }: { N: number; P: number }) =>
  panelsOf(N) === P ? undefined : `N ${N} takes ${panelsOf(N)} panels, w has ${P}`
const gatedFits = ({ F, P }: { F: number; P: number }) =>
  panelsOf(F) === P ? undefined : `F ${F} takes 2·${panelsOf(F)} panels, w has 2·${P}`

/** y = x·Wᵀ for a weight matrix W (N, K) in panels.
 *  x (M, K), w (P, K, 16) → y (M, N), N given: 16(P−1) < N ≤ 16P */
export const matmul = op({
  name: "matmul",
  sig: "x:(M,K) w:f32|f16|bf16(P,K,16) -> y:(M,N)",
  params: "M K P N wType",
  check: fits,
  meaning: ({ x, w }, { N }) => product(x, unpanel(w, N)),
  vjp: ({ y: dy }, { x, w }, { P }) =>
    dy ? { x: matmulGradX(dy, w), w: matmulGradW(dy, x, { P }) } : undefined,
  gpu: floatKernels({ op: "matmul" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost,
  cases,
})

/** y = rmsNorm(x)·Wᵀ with the norm's weight n.  x (M, K), n (K), w (P, K, 16) → y (M, N) */
export const normMatmul = op({
  name: "normMatmul",
  sig: "x:(M,K) n:(K) w:f32|f16|bf16(P,K,16) -> y:(M,N)",
  params: "M K P N eps wType",
  check: fits,
  meaning: ({ x, n, w }, { N, eps }) => product(normalize(x, n, eps), unpanel(w, N)),
  gpu: floatKernels({ op: "normMatmul", isNormed: true }),
  norms: 1,
  isProduct: true,
  rows: ({ P }) => P,
  cost,
  cases: cases.map((test) => ({ ...test, eps })),
})

/** y = r + x·Wᵀ, in the memory of r: the product with the residual add that follows it.
 *  x (M, K), w (P, K, 16), r (M, N) → y (M, N) */
export const matmulAdd = op({
  name: "matmulAdd",
  sig: "x:(M,K) w:f32|f16|bf16(P,K,16) r:(M,N) -> y:(M,N)",
  params: "M K P N wType",
  alias: { y: "r" },
  check: fits,
  meaning: ({ x, w, r }, { N }) => add(r, product(x, unpanel(w, N))),
  vjp: ({ y: dy }, { x, w }, { P }) =>
    dy ? { x: matmulGradX(dy, w), w: matmulGradW(dy, x, { P }), r: dy } : undefined,
  gpu: floatKernels({ op: "matmulAdd" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost,
  cases,
})

/** y = silu(g)·v,  [g, v] = x·Wᵀ: the first projection of the feed-forward network with its
 *  activation. Gate and value panels alternate.  x (M, K), w (2·P, K, 16) → y (M, F) */
export const matmulSwiglu = op({
  name: "matmulSwiglu",
  sig: "x:(M,K) w:f32|f16|bf16(2*P,K,16) -> y:(M,F)",
  params: "M K P F wType",
  check: gatedFits,
  meaning: ({ x, w }, { F }) => gated(product(x, unpanel(w, 2 * F, 2))),
  gpu: floatKernels({ op: "matmulSwiglu", isGated: true }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: (p) => cost({ ...p, P: 2 * p.P }),
  cases: gatedCases,
})

/** y = silu(g)·v,  [g, v] = rmsNorm(x)·Wᵀ with the norm's weight n.
 *  x (M, K), n (K), w (2·P, K, 16) → y (M, F) */
export const normMatmulSwiglu = op({
  name: "normMatmulSwiglu",
  sig: "x:(M,K) n:(K) w:f32|f16|bf16(2*P,K,16) -> y:(M,F)",
  params: "M K P F eps wType",
  check: gatedFits,
  meaning: ({ x, n, w }, { F, eps }) => gated(product(normalize(x, n, eps), unpanel(w, 2 * F, 2))),
  gpu: floatKernels({ op: "normMatmulSwiglu", isNormed: true, isGated: true }),
  norms: 1,
  isProduct: true,
  rows: ({ P }) => P,
  cost: (p) => cost({ ...p, P: 2 * p.P }),
  cases: gatedCases.map((test) => ({ ...test, eps })),
})

export const matmulOps = [
  matmul.op,
  normMatmul.op,
  matmulAdd.op,
  matmulSwiglu.op,
  normMatmulSwiglu.op,
]
