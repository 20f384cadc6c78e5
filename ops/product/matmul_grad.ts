// Gradients of products with weights in panels (matmul.ts): of the input, and of the weights in
// their own panels. Kernels: matmul_grad.as.ts.
import { op, type Tensor } from "../../engine/index.ts"
import { add } from "../plain/elementwise.ts"
import { permute } from "../plain/movement.ts"
import { gradXKernel, tallFor, tileGroups, tileSizes } from "./kernels.ts"
import { packedPanels, panelsOf, panelWidth, product, unpanel } from "./panels.ts"

const dtypes = ["f32", "f16", "bf16"] as const
const shapes = [
  { M: 1, K: 64, P: 2, N: 31 },
  { M: 37, K: 7, P: 1, N: 1 },
  { M: 35, K: 48, P: 5, N: 80 },
  { M: 331, K: 33, P: 3, N: 33 },
  { M: 7, K: 340, P: 1, N: 16 },
  { M: 5, K: 19, P: 40, N: 627 },
] as const

const fits = ({ N, P }: { N: number; P: number }) =>
  panelsOf(N) === P ? undefined : `N ${N} takes ${panelsOf(N)} panels, P is ${P}`

const cost = ({ M, K, P }: { M: number; K: number; P: number }) => ({
  bytes: 4 * (P * panelWidth * (K + M) + M * K),
  flops: 2 * M * K * P * panelWidth,
})

const tileW = ({ K, P }: { K: number; P: number }) => tileSizes(tallFor(P * K, 131072))
const tilesW = [
  {
    from: ["product/matmul_grad_w.wgsl", "product/matmul_tile.wgsl"],
    constants: tileW,
    groups: ({ K, P }: { K: number; P: number }) => tileGroups(tileW({ K, P }), K, P),
  },
]

/** dx = dy·W, the cotangent of x in y = x·Wᵀ.  dy (M, N), w (P, K, 16) → dx (M, K) */
export const matmulGradX = op({
  name: "matmulGradX",
  sig: "dy:(M,N) w:f32|f16|bf16(P,K,16) -> dx:(M,K)",
  params: "M K P N wType",
  check: fits,
  meaning: ({ dy, w }, { N }) => product(dy, permute(unpanel(w, N), [1, 0])),
  gpu: [{ ...gradXKernel, scalars: ["w"] }],
  isProduct: true,
  rows: ({ K }) => Math.ceil(K / panelWidth),
  cost,
  cases: dtypes.flatMap((wType) => shapes.map((shape) => ({ ...shape, wType }))),
})

/** The panels of dyᵀ·x in plain ops.  dy (M, N), x (M, K) → (P, K, 16) */
const panelsOfProduct = (dy: Tensor, x: Tensor): Tensor =>
  packedPanels(product(permute(dy, [1, 0]), permute(x, [1, 0])), 1)

/** dw = dyᵀ·x, the cotangent of W in y = x·Wᵀ, in panels; missing outputs are zeros.
 *  dy (M, N), x (M, K) → dw (P, K, 16) */
export const matmulGradW = op({
  name: "matmulGradW",
  sig: "dy:(M,N) x:(M,K) -> dw:(P,K,16)",
  params: "M N K P",
  check: fits,
  meaning: ({ dy, x }) => panelsOfProduct(dy, x),
  gpu: tilesW,
  isProduct: true,
  rows: ({ P }) => P,
  cost,
  cases: shapes,
})

/** dw = sum + dyᵀ·x in the memory of sum: for gradients that come in parts.
 *  dy (M, N), x (M, K), sum (P, K, 16) → dw (P, K, 16) */
export const matmulGradWAdd = op({
  name: "matmulGradWAdd",
  sig: "dy:(M,N) x:(M,K) sum:(P,K,16) -> dw:(P,K,16)",
  params: "M N K P",
  alias: { dw: "sum" },
  check: fits,
  meaning: ({ dy, x, sum }) => add(sum, panelsOfProduct(dy, x)),
  gpu: tilesW,
  isProduct: true,
  rows: ({ P }) => P,
  cost,
  cases: shapes,
})

export const matmulGradOps = [matmulGradX.op, matmulGradW.op, matmulGradWAdd.op]
