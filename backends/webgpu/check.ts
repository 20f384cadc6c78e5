// Whether the units that multiply matrices can be relied on: a feature still experimental is tried on
// a small product before it is used.
import { type Backend, constant, read } from "../../engine/index.ts"
import { matmul } from "../../ops/index.ts"

const [M, K, P] = [37, 40, 9]

/** Numbers that a row needs two halves for. */
const rowNumber = (i: number): number => ((i * 7) % 17) - 8 + ((i * 5) % 13) / 1024

const weight = (i: number): number => ((i * 11) % 19) - 9

/** Whether a product with weights in f16, whose sums are exact in f32, is what a plain loop gives. */
export async function multipliesExactly(backend: Backend): Promise<boolean> {
  const x = Float32Array.from({ length: M * K }, (_, i) => rowNumber(i))
  const panels = Float64Array.from({ length: P * K * 16 }, (_, i) => weight(i))
  const y = matmul(constant(x, [M, K]), constant(panels, [P, K, 16], "f16"), { N: 16 * P })
  const got = await read(y, backend)
  for (let i = 0; i < M * P * 16; i++) {
    const [m, n] = [Math.floor(i / (P * 16)), i % (P * 16)]
    let sum = 0
    for (let k = 0; k < K; k++) {
      sum += (x[m * K + k] ?? 0) * weight(((n >> 4) * K + k) * 16 + (n & 15))
    }
    if (got[i] !== sum) return false
  }
  return true
}
