// Products with quantized weights (quantized_pack.ts says what blocks hold): twins of those in
// matmul.ts over dequantize(w). Rows are rounded to whole numbers first, 127 steps for the largest of
// 32 neighbours, so that integers are multiplied: about 0.5 % off the meaning, and the same numbers on the
// CPU and on a GPU that multiplies bytes four at a time; others multiply in f32, with weights widened block
// by block. On the CPU a row's products are the same to the bit whatever rows it comes with.
// Kernels: quantized.as.ts, quantized.wgsl.
import { op, type Tensor } from "../../engine/index.ts"
import { normalize } from "../norm/rmsnorm.ts"
import { add } from "../plain/elementwise.ts"
import { take } from "../plain/indexing.ts"
import { quantizedKernels } from "./kernels.ts"
import { panelWidth, product } from "./panels.ts"
import {
  blockBytes,
  blockVectors,
  dequantize,
  fileBlockBytes,
  misfit,
  type ProductSizes,
  productCases,
  productCost,
  quantizedSample,
} from "./quantized_pack.ts"
import { gated } from "./swiglu.ts"

/** Longest row that the scratch memory of a thread holds. */
const mostColumns = 262144

const refuse = (sizes: ProductSizes & { N: number }, Halves: number): string | undefined =>
  sizes.K > mostColumns
    ? `K is at most ${mostColumns}, got ${sizes.K}`
    : misfit({ ...sizes, Halves })
const fits = (sizes: ProductSizes & { N: number }) => refuse(sizes, 1)
const gatedFits = (sizes: ProductSizes & { F: number }) =>
  refuse({ ...sizes, N: 2 * sizes.F, P: 2 * sizes.P }, 2)

const matrix = (w: Tensor, N: number, K: number): Tensor => dequantize(w, { N, K, Halves: 1 })
const gatedMatrix = (w: Tensor, F: number, K: number): Tensor =>
  dequantize(w, { N: 2 * F, K, Halves: 2 })

const shapes = [
  { M: 1, K: 1280, N: 128 },
  { M: 1, K: 257, N: 13 },
  { M: 37, K: 7, N: 1 },
  { M: 35, K: 640, N: 48 },
  { M: 7, K: 33, N: 33 },
  { M: 3, K: 2100, N: 5 },
] as const
// Of blocks that differ by their scales alone one shape for each kind of kernel.
const cases = [
  ...Object.values(blockBytes).flatMap((Z) => productCases(Z, shapes)),
  ...Object.values(fileBlockBytes).flatMap((Z) =>
    productCases(Z, [shapes[0], shapes[3], shapes[4]]),
  ),
]
const gatedCases = cases.map(({ N, ...rest }) => ({ ...rest, F: N }))
const eps = 1e-6
const sample = (name: string, { Z }: { Z: number }) =>
  name === "w" ? quantizedSample(Z) : undefined

/** y = x·Wᵀ.  x (M, K), w (P, C, Z) → y (M, N), N given: 16(P−1) < N ≤ 16P */
export const matmulQuantized = op({
  name: "matmulQuantized",
  sig: "x:(M,K) w:u8(P,C,Z) -> y:(M,N)",
  params: "M K P C Z N",
  check: fits,
  meaning: ({ x, w }, { N, K }) => product(x, matrix(w, N, K)),
  gpu: quantizedKernels({ op: "matmulQuantized" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: productCost,
  cases,
  sample,
})

/** y = rmsNorm(x)·Wᵀ with the norm's weight n.  x (M, K), n (K), w (P, C, Z) → y (M, N) */
export const normMatmulQuantized = op({
  name: "normMatmulQuantized",
  sig: "x:(M,K) n:(K) w:u8(P,C,Z) -> y:(M,N)",
  params: "M K P C Z N eps",
  check: fits,
  meaning: ({ x, n, w }, { N, K, eps }) => product(normalize(x, n, eps), matrix(w, N, K)),
  gpu: quantizedKernels({ op: "normMatmulQuantized", isNormed: true }),
  norms: 1,
  isProduct: true,
  rows: ({ P }) => P,
  cost: productCost,
  cases: cases.map((test) => ({ ...test, eps })),
  sample,
})

/** y = r + x·Wᵀ, in the memory of r.  x (M, K), w (P, C, Z), r (M, N) → y (M, N) */
export const matmulAddQuantized = op({
  name: "matmulAddQuantized",
  sig: "x:(M,K) w:u8(P,C,Z) r:(M,N) -> y:(M,N)",
  params: "M K P C Z N",
  alias: { y: "r" },
  check: fits,
  meaning: ({ x, w, r }, { N, K }) => add(r, product(x, matrix(w, N, K))),
  gpu: quantizedKernels({ op: "matmulAddQuantized" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: productCost,
  cases,
  sample,
})

/** y = silu(g)·v,  [g, v] = x·Wᵀ; gate and value panels alternate.
 *  x (M, K), w (2·P, C, Z) → y (M, F) */
export const matmulSwigluQuantized = op({
  name: "matmulSwigluQuantized",
  sig: "x:(M,K) w:u8(2*P,C,Z) -> y:(M,F)",
  params: "M K P C Z F",
  check: gatedFits,
  meaning: ({ x, w }, { F, K }) => gated(product(x, gatedMatrix(w, F, K))),
  gpu: quantizedKernels({ op: "matmulSwigluQuantized", isGated: true }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: (p) => productCost({ ...p, P: 2 * p.P }),
  cases: gatedCases,
  sample,
})

/** y = silu(g)·v,  [g, v] = rmsNorm(x)·Wᵀ with the norm's weight n.
 *  x (M, K), n (K), w (2·P, C, Z) → y (M, F) */
export const normMatmulSwigluQuantized = op({
  name: "normMatmulSwigluQuantized",
  sig: "x:(M,K) n:(K) w:u8(2*P,C,Z) -> y:(M,F)",
  params: "M K P C Z F eps",
  check: gatedFits,
  meaning: ({ x, n, w }, { F, K, eps }) =>
    gated(product(normalize(x, n, eps), gatedMatrix(w, F, K))),
  gpu: quantizedKernels({
    op: "normMatmulSwigluQuantized",
    isNormed: true,
    isGated: true,
  }),
  norms: 1,
  isProduct: true,
  rows: ({ P }) => P,
  cost: (p) => productCost({ ...p, P: 2 * p.P }),
  cases: gatedCases.map((test) => ({ ...test, eps })),
  sample,
})

/** x[n] = E[ids[n]] in f32; ids lie in 0 … 16P−1 (the caller checks them against the vocabulary).
 *  ids (N), w (P, C, Z) → x (N, D), D given */
export const embedQuantized = op({
  name: "embedQuantized",
  sig: "ids:i32(N) w:u8(P,C,Z) -> x:(N,D)",
  params: "N P C Z D",
  check: ({ P, C, Z, D }) => misfit({ N: P * panelWidth, K: D, P, C, Z, Halves: 1 }),
  meaning: ({ ids, w }, { P, D }) => take(matrix(w, P * panelWidth, D), ids),
  gpu: [
    {
      from: ["product/quantized_tile.wgsl", "product/quantized_row.wgsl"],
      constants: blockVectors,
      wide: ["w"],
    },
  ],
  rows: ({ N }) => N,
  cost: ({ N, D, Z }) => ({ bytes: N * D * (4 + Z / 512), flops: N * D }),
  cases: [...Object.values(blockBytes), ...Object.values(fileBlockBytes)].flatMap((Z) => [
    { N: 1, P: 3, C: 40, Z, D: 1280 },
    { N: 33, P: 2, C: 1, Z, D: 31 },
  ]),
  sample: (name, { P, Z }) =>
    name === "ids" ? (i) => (i * 7) % (P * panelWidth) : quantizedSample(Z),
})

export const quantizedOps = [
  matmulQuantized.op,
  normMatmulQuantized.op,
  matmulAddQuantized.op,
  matmulSwigluQuantized.op,
  normMatmulSwigluQuantized.op,
  embedQuantized.op,
]
