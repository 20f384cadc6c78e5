// Quantized weights as numbers: how far they lie from the matrix they stand for, what the search
// for q4's scales gains, what is counted as not finite, and what products make of them.

import { constant, normalAt, read, type Tensor } from "../engine/index.ts"
import {
  blockBytes,
  blocksOf,
  dequantize,
  fileBlockBytes,
  matmulQuantized,
  panelsOf,
  quantize,
} from "../ops/index.ts"
import { allBackends, wasmBackends } from "./backends.ts"
import t from "./tap.ts"
import { relativeError } from "./tolerance.ts"

const [N, K] = [45, 203]
const values = Float32Array.from({ length: N * K }, (_, i) => normalAt(5, 1, 0, i) * 0.02)
const x = constant(values, [N, K])

const quantized = (from: Tensor, Z: number, Search: number): Record<"w" | "bad", Tensor> =>
  quantize(from, { P: panelsOf(N), C: blocksOf(K), Z, Halves: 1, Search })

/** Root of Σ weight·(got − want)² / Σ weight·want². */
function distance(got: ArrayLike<number>, weight: (w: number) => number): number {
  let [error, scale] = [0, 0]
  values.forEach((w, i) => {
    error += weight(w) * ((got[i] as number) - w) ** 2
    scale += weight(w) * w * w
  })
  return Math.sqrt(error / scale)
}

for (const { label, open } of allBackends) {
  t.test(`quantized normal numbers on ${label} are off by as little as known`, async (t) => {
    const backend = await open()
    const errorOf = async (Z: number, Search: number, weight: (w: number) => number) => {
      const { w } = quantized(x, Z, Search)
      return distance(await read(dequantize(w, { N, K, Halves: 1 }), backend), weight)
    }
    const plain = () => 1
    const square = (w: number) => w * w
    const q8 = await errorOf(blockBytes.q8, 0, plain)
    t.ok(q8 < 0.006, `q8 is off by ${q8.toFixed(4)} of the numbers' size`)
    const q4 = await errorOf(blockBytes.q4, 0, plain)
    t.ok(q4 < 0.09, `q4 is off by ${q4.toFixed(4)}`)
    const [nearest, searched] = [
      await errorOf(blockBytes.q4, 0, square),
      await errorOf(blockBytes.q4, 1, square),
    ]
    t.ok(searched < 0.9 * nearest, `search: ${nearest.toFixed(4)} to ${searched.toFixed(4)}`)
    t.ok(Math.abs(searched - 0.0424) < 0.001, "and the search finds the same on every backend")
    backend.close()
  })

  t.test(`numbers that are not finite are counted on ${label}`, async (t) => {
    const backend = await open()
    const spoilt = values.slice()
    for (const [row, k] of [
      [0, 0],
      [15, K - 1],
      [44, 7],
    ] as const)
      spoilt[row * K + k] = Number.NaN
    spoilt[20 * K + 40] = Number.POSITIVE_INFINITY
    for (const Z of Object.values(blockBytes)) {
      const { bad } = quantized(constant(spoilt, [N, K]), Z, 0)
      t.same([...(await read(bad, backend))], [2, 1, 1])
    }
    backend.close()
  })
}

/** x (M, K) rounded as products round it: to 127 steps for the largest of 32 neighbours. */
function rounded(x: Float32Array, K: number): Float64Array {
  const y = new Float64Array(x.length)
  for (let m = 0; m < x.length; m += K) {
    for (let k = m; k < m + K; k += 32) {
      const block = x.subarray(k, Math.min(k + 32, m + K))
      const step = Math.max(...block.map(Math.abs)) / 127
      block.forEach((value, i) => {
        y[k + i] = Math.round(value / step) * step
      })
    }
  }
  return y
}

/** Weights in blocks of Z bytes: of the matrix, or of any numbers where its scales are to be f32. */
function weightsOf(Z: number): Tensor {
  if (!Object.values(fileBlockBytes).some((bytes) => bytes === Z)) return quantized(x, Z, 0).w
  const shape = [panelsOf(N), blocksOf(K), Z]
  const bytes = Uint8Array.from(
    { length: shape.reduce((a, b) => a * b) },
    (_, i) => 37 * i + (i >> 5),
  )
  const scales = new DataView(bytes.buffer)
  for (let end = Z; end <= bytes.length; end += Z) {
    for (let n = 1; n <= 16; n++)
      scales.setFloat32(end - 4 * n, 0.001 * (1 + (end % 13)) + 1e-5 * n, true)
  }
  return constant(bytes, shape, "u8")
}

for (const { label, open } of wasmBackends) {
  t.test(
    `products of whole numbers on ${label}: a row's do not depend on other rows`,
    async (t) => {
      const backend = await open()
      const most = 45
      const rows = Float32Array.from({ length: most * K }, (_, i) => normalAt(7, 1, 0, i))
      const exact = rounded(rows, K)
      for (const [format, Z] of Object.entries({ ...blockBytes, ...fileBlockBytes })) {
        const w = weightsOf(Z)
        const matrix = await read(dequantize(w, { N, K, Halves: 1 }), backend)
        const productOf = async (from: number, M: number): Promise<Float32Array> => {
          const some = constant(rows.slice(from * K, (from + M) * K), [M, K])
          return (await read(matmulQuantized(some, w, { N }), backend)) as Float32Array
        }
        const all = await productOf(0, most)
        const want = Array.from({ length: most * N }, (_, i) => {
          const [m, n] = [Math.floor(i / N), i % N]
          let sum = 0
          for (let k = 0; k < K; k++) {
            sum += (exact[m * K + k] as number) * (matrix[n * K + k] as number)
          }
          return sum
        })
        t.ok(relativeError(all, want) < 1e-6, `${format}: rounded rows times the matrix`)
        for (const M of [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 40, 41]) {
          const got = await productOf(3, M)
          t.same(got, all.subarray(3 * N, (3 + M) * N), `${format}: ${M} rows are those of ${most}`)
        }
      }
      backend.close()
    },
  )
}
