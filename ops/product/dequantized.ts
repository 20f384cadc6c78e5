// Products with the numbers that quantized weights stand for (quantized_pack.ts), for training: rows are
// not rounded, and what is computed has the gradient given here. The CPU widens weights panel by panel
// in scratch memory; elsewhere the matrix is widened for a product, and for its gradient once more, so that
// it lies in memory for no longer. Kernels: dequantized.as.ts.
import { op, type Tensor } from "../../engine/index.ts"
import { add } from "../plain/elementwise.ts"
import { matmul, matmulAdd } from "./matmul.ts"
import { matmulGradX } from "./matmul_grad.ts"
import { pack } from "./pack.ts"
import { panelWidth } from "./panels.ts"
import {
  blockBytes,
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

/** Quantized panels as those of f32, for rows of K numbers.  w (P, C, Z) → (P, K, 16) */
function widened(w: Tensor, K: number): Tensor {
  const P = w.shape[0] as number
  const rows = dequantize(w, { N: P * panelWidth, K, Halves: 1 }) // (16P, K)
  return pack(rows, { P, Halves: 1, dtype: "f32" }).w
}
const widening = [dequantize.op, pack.op]

type Given = { readonly x: Tensor; readonly w: Tensor }
type Matrix = { readonly K: number; readonly N: number }
const product = ({ x, w }: Given, { K, N }: Matrix): Tensor => matmul(x, widened(w, K), { N })
const sum = ({ x, w, r }: Given & { readonly r: Tensor }, { K }: Matrix): Tensor =>
  matmulAdd(x, widened(w, K), r)
const gradX = ({ dy, w }: { dy: Tensor; w: Tensor }, { K }: Matrix): Tensor =>
  matmulGradX(dy, widened(w, K))

/** dx = dy·W, the cotangent of x in y = x·Wᵀ.  dy (M, N), w (P, C, Z) → dx (M, K), K given */
export const matmulDequantizedGradX = op({
  name: "matmulDequantizedGradX",
  sig: "dy:(M,N) w:u8(P,C,Z) -> dx:(M,K)",
  params: "M K P C Z N",
  check: fits,
  meaning: gradX,
  alternatives: [{ ops: [...widening, matmulGradX.op], when: () => true, meaning: gradX }],
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
  meaning: product,
  vjp: ({ y: dy }, { w }, { K }) => (dy ? { x: matmulDequantizedGradX(dy, w, { K }) } : undefined),
  alternatives: [{ ops: [...widening, matmul.op], when: () => true, meaning: product }],
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
  meaning: ({ x, w, r }, sizes) => add(r, product({ x, w }, sizes)),
  vjp: ({ y: dy }, { w }, { K }) =>
    dy ? { x: matmulDequantizedGradX(dy, w, { K }), r: dy } : undefined,
  alternatives: [{ ops: [...widening, matmulAdd.op], when: () => true, meaning: sum }],
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
