// Squares of the rows of a matrix with a low-rank one beside it, summed: norms of DoRA.
// Kernels: sum_squares.as.ts, sum_squares.wgsl.
import { op, type Tensor } from "../../engine/index.ts"
import { add, mul } from "../plain/elementwise.ts"
import { permute, reshape } from "../plain/movement.ts"
import { sumRows } from "../plain/reduce.ts"
import { tileFile, tileGroups, tileSizes } from "./kernels.ts"
import { unpack } from "./pack.ts"
import { panelWidth, product, unpanel } from "./panels.ts"
import {
  blockBytes,
  blocksOf,
  blockVectors,
  dequantize,
  fileBlockBytes,
  misfit,
  quantizedSample,
} from "./quantized_pack.ts"

interface Sizes {
  readonly K: number
  readonly R: number
  readonly P: number
}

const cost = ({ K, R, P }: Sizes) => ({
  bytes: 4 * P * panelWidth * (K + R + 1) + 4 * K * R,
  flops: 2 * K * P * panelWidth * (R + 1),
})

const shapes = [
  { K: 64, R: 4, P: 2 },
  { K: 333, R: 33, P: 3 },
  { K: 31, R: 600, P: 1 },
] as const

/** Σ (W + B·A)² of each row, out of rows of W.  whole (16P, K), a (K, R), b (P, R, 16) → (P, 16) */
function squares(whole: Tensor, low: Tensor): Tensor {
  const both = add(whole, permute(low, [1, 0])) // (16P, K)
  const [N] = both.shape as [number, number]
  return reshape(sumRows(mul(both, both)), [N / panelWidth, panelWidth])
}

type Given = { readonly a: Tensor; readonly b: Tensor; readonly w: Tensor }
const lowOf = ({ a, b }: Given, P: number): Tensor => product(a, unpanel(b, P * panelWidth))
const rowsOf = ({ w }: Given, { K, P }: Sizes): Tensor => {
  const N = P * panelWidth
  if (w.dtype === "u8") return dequantize(w, { N, K, Halves: 1 })
  return unpack(w, { N, K, Halves: 1, dtype: "f32" })
}

const tile = tileSizes(4)
const kernel = {
  constants: () => tile,
  groups: ({ P }: Sizes) => tileGroups(tile, 1, P),
} as const
const kernelFile = "product/sum_squares.wgsl"

/** y = Σ (w + b·a)² over each of a matrix's rows, zeros where panels have none.
 *  a (K, R), b (P, R, 16), w (P, K, 16) → y (P, 16) */
export const sumSquares = op({
  name: "sumSquares",
  sig: "a:(K,R) b:(P,R,16) w:f32|f16|bf16(P,K,16) -> y:(P,16)",
  params: "K R P wType",
  meaning: (given, { P }) => squares(unpanel(given.w, P * panelWidth), lowOf(given, P)),
  gpu: [{ ...kernel, from: [kernelFile, tileFile] }],
  rows: ({ P }) => P,
  cost,
  cases: (["f32", "f16", "bf16"] as const).flatMap((wType) =>
    shapes.map((shape) => ({ ...shape, wType })),
  ),
})

/** The same of quantized weights.  a (K, R), b (P, R, 16), w (P, C, Z) → y (P, 16) */
export const sumSquaresOfBlocks = op({
  name: "sumSquaresOfBlocks",
  sig: "a:(K,R) b:(P,R,16) w:u8(P,C,Z) -> y:(P,16)",
  params: "K R P C Z",
  check: ({ K, P, C, Z }) => misfit({ N: P * panelWidth, K, P, C, Z, Halves: 1 }),
  meaning: (given, sizes) => squares(rowsOf(given, sizes), lowOf(given, sizes.P)),
  gpu: [
    {
      ...kernel,
      from: [
        "product/sum_squares_blocks.wgsl",
        ...[kernelFile, tileFile, "product/quantized_tile.wgsl"],
      ],
      constants: (sizes) => ({ ...tile, ...blockVectors(sizes) }),
      wide: ["w"],
    },
  ],
  rows: ({ P }) => P,
  cost,
  cases: [...Object.values(blockBytes), ...Object.values(fileBlockBytes)].flatMap((Z) =>
    [shapes[0], shapes[1]].map((shape) => ({ ...shape, C: blocksOf(shape.K), Z })),
  ),
  sample: (name, { Z }) => (name === "w" ? quantizedSample(Z) : undefined),
})

export const sumSquaresOps = [sumSquares.op, sumSquaresOfBlocks.op]
