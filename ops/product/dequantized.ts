// Products with the numbers that quantized weights stand for (quantized_pack.ts), for training: rows are
// not rounded, and what is computed has the gradient given here. Weights are widened on their way into a
// product, panel by panel or tile by tile: no matrix of them lies in memory. Kernels: dequantized.as.ts; on a
// GPU those of quantized.ts that round nothing, and dequantized_grad.wgsl.
import { op, type Tensor } from "../../engine/index.ts"
import { add } from "../plain/elementwise.ts"
import { permute } from "../plain/movement.ts"
import { exactKernels, gradXKernel } from "./kernels.ts"
import { product } from "./panels.ts"
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

const fits = (sizes: ProductSizes & { N: number }) => misfit({ ...sizes, Halves: 1 })

const shapes = [
  { M: 1, K: 257, N: 13 },
  { M: 35, K: 640, N: 48 },
  { M: 331, K: 33, N: 33 },
  { M: 5, K: 19, N: 627 },
] as const
// Blocks that differ by their scales alone are widened by the same code.
const cases = [
  ...Object.values(blockBytes).flatMap((Z) => productCases(Z, shapes)),
  ...Object.values(fileBlockBytes).flatMap((Z) => productCases(Z, [shapes[1]])),
]
const sample = (name: string, { Z }: { Z: number }) =>
  name === "w" ? quantizedSample(Z) : undefined

const matrix = (w: Tensor, N: number, K: number): Tensor => dequantize(w, { N, K, Halves: 1 })

/** dx = dy·W, the cotangent of x in y = x·Wᵀ.  dy (M, N), w (P, C, Z) → dx (M, K), K given */
export const matmulDequantizedGradX = op({
  name: "matmulDequantizedGradX",
  sig: "dy:(M,N) w:u8(P,C,Z) -> dx:(M,K)",
  params: "M K P C Z N",
  check: fits,
  meaning: ({ dy, w }, { N, K }) => product(dy, permute(matrix(w, N, K), [1, 0])),
  gpu: [
    {
      ...gradXKernel,
      from: ["product/dequantized_grad.wgsl", ...gradXKernel.from, "product/quantized_tile.wgsl"],
      constants: (sizes) => ({ ...gradXKernel.constants(sizes), ...blockVectors(sizes) }),
      wide: ["w"],
    },
  ],
  isProduct: true,
  rows: ({ C }) => C,
  cost: productCost,
  cases,
  sample,
})

/** y = x·Wᵀ.  x (M, K), w (P, C, Z) → y (M, N), N given: 16(P−1) < N ≤ 16P */
export const matmulDequantized = op({
  name: "matmulDequantized",
  sig: "x:(M,K) w:u8(P,C,Z) -> y:(M,N)",
  params: "M K P C Z N",
  check: fits,
  meaning: ({ x, w }, { N, K }) => product(x, matrix(w, N, K)),
  vjp: ({ y: dy }, { w }, { K }) => (dy ? { x: matmulDequantizedGradX(dy, w, { K }) } : undefined),
  gpu: exactKernels({ op: "matmulDequantized" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: productCost,
  cases,
  sample,
})

/** y = r + x·Wᵀ, in the memory of r.  x (M, K), w (P, C, Z), r (M, N) → y (M, N) */
export const matmulAddDequantized = op({
  name: "matmulAddDequantized",
  sig: "x:(M,K) w:u8(P,C,Z) r:(M,N) -> y:(M,N)",
  params: "M K P C Z N",
  alias: { y: "r" },
  check: fits,
  meaning: ({ x, w, r }, { N, K }) => add(r, product(x, matrix(w, N, K))),
  vjp: ({ y: dy }, { w }, { K }) =>
    dy ? { x: matmulDequantizedGradX(dy, w, { K }), r: dy } : undefined,
  gpu: exactKernels({ op: "matmulAddDequantized" }),
  isProduct: true,
  rows: ({ P }) => P,
  cost: productCost,
  cases,
  sample,
})

export const dequantizedOps = [
  matmulDequantized.op,
  matmulAddDequantized.op,
  matmulDequantizedGradX.op,
]
