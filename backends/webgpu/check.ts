// Whether the units that multiply matrices can be relied on: a feature still experimental is tried on
// a small product before it is used.
import { type Backend, constant, read } from "../../engine/index.ts"
import { matmul } from "../../ops/index.ts"

/** Of few tiles, whose K goes in slices, and of many. */
const products = [
  { M: 37, K: 40, P: 9, dtype: "f16" },
  { M: 16, K: 20, P: 2112, dtype: "bf16" },
] as const

/** Numbers that a row needs two halves for. */
const rowNumber = (i: number): number => ((i * 7) % 17) - 8 + ((i * 5) % 13) / 1024

const weight = (i: number): number => ((i * 11) % 19) - 9

/** Whether products with weights of 16 bits, whose sums are exact in f32, are what a plain loop gives. */
export async function multipliesExactly(backend: Backend): Promise<boolean> {
  for (const product of products) if (!(await isExact(product, backend))) return false
  return true
}

async function isExact(
  { M, K, P, dtype }: (typeof products)[number],
  backend: Backend,
): Promise<boolean> {
  const N = 16 * P
  const x = Float32Array.from({ length: M * K }, (_, i) => rowNumber(i))
  const panels = Float64Array.from({ length: K * N }, (_, i) => weight(i))
  const y = matmul(constant(x, [M, K]), constant(panels, [P, K, 16], dtype), { N })
  const got = await read(y, backend)
  return got.every((value, i) => {
    const [m, n] = [Math.floor(i / N), i % N]
    let sum = 0
    for (let k = 0; k < K; k++) {
      sum += (x[m * K + k] ?? 0) * weight(((n >> 4) * K + k) * 16 + (n & 15))
    }
    return value === sum
  })
}
