// How weights come into panels (matmul.ts): from rows read from a file, or drawn at random.
// Both run once at load, on all threads. Kernels: pack.as.ts.
import { constant, type DType, itemBytes, op } from "../../engine/index.ts"
import { affine, equal, sub } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { reshape } from "../plain/movement.ts"
import { randomNormal } from "../plain/random.ts"
import { sumRows } from "../plain/reduce.ts"
import { packedPanels, panelsOf, unpanel } from "./panels.ts"

const dtypeNames = ["f32", "f16", "bf16"] as const
const bytesOf = (code: number): number => itemBytes(dtypeNames[code] as DType)
const fits = (N: number, P: number, Halves: number): string | undefined =>
  N % Halves === 0 && panelsOf(N, Halves) === P
    ? undefined
    : `N ${N} in ${Halves} parts takes ${panelsOf(N, Halves)} panels, P is ${P}`

/** Rows into panels, converted to `dtype`. bad[p] = numbers of panel p that are not finite.
 *  x (N, K) → w (P, K, 16), bad (P); Halves 2 alternates the panels of the two halves of the rows */
export const pack = op({
  name: "pack",
  sig: "x:f32|f16|bf16(N,K) -> w:dtype(P,K,16) bad:(P)",
  params: "N K P Halves xType wType",
  check: ({ N, P, Halves }) => fits(N, P, Halves),
  meaning: ({ x }, { P, Halves }, { dtype }) => {
    const w = cast(packedPanels(cast(x, "f32"), Halves), dtype as DType)
    const flat = reshape(cast(w, "f32"), [P, w.size / P])
    // x − x is 0 for finite numbers and NaN for the rest.
    const finite = equal(sub(flat, flat), constant([0], [1]))
    return { w, bad: affine(sumRows(finite), -1, w.size / P) }
  },
  vjp: () => ({}),
  gpu: [{ from: ["product/pack.wgsl"] }],
  rows: ({ P }) => P,
  cost: ({ N, K, xType, wType }) => ({
    bytes: N * K * (bytesOf(xType) + bytesOf(wType)),
    flops: 0,
  }),
  cases: dtypeNames.flatMap((xType) =>
    dtypeNames.flatMap((dtype) => [
      { N: 33, K: 31, P: 3, Halves: 1, xType, dtype },
      { N: 48, K: 64, P: 4, Halves: 2, xType, dtype },
    ]),
  ),
})

/** The rows that panels stand for, converted to `dtype`: the inverse of pack.
 *  w (P, K, 16) → x (N, K) */
export const unpack = op({
  name: "unpack",
  sig: "w:f32|f16|bf16(P,K,16) -> x:dtype(N,K)",
  params: "N K P Halves wType xType",
  check: ({ N, P, Halves }) => fits(N, P, Halves),
  meaning: ({ w }, { N, Halves }, { dtype }) => cast(unpanel(w, N, Halves), dtype as DType),
  vjp: () => ({}),
  gpu: [{ from: ["product/pack.wgsl"], groups: ({ N, K }) => Math.ceil((N * K) / 2048) }],
  rows: ({ P }) => P,
  cost: ({ N, K, xType, wType }) => ({
    bytes: N * K * (bytesOf(xType) + bytesOf(wType)),
    flops: 0,
  }),
  cases: dtypeNames.flatMap((wType) =>
    dtypeNames.flatMap((dtype) => [
      { N: 33, K: 31, P: 3, Halves: 1, wType, dtype },
      { N: 50, K: 64, P: 4, Halves: 2, wType, dtype },
    ]),
  ),
})

/** Panels of a random matrix z (N, K), normal with standard deviation std; the numbers are those of
 *  randomNormal, whatever the layout and dtype.  → w (P, K, 16) */
export const randomPanels = op({
  name: "randomPanels",
  sig: " -> w:dtype(P,K,16)",
  params: "N K P Halves Seed Stream std wType",
  check: ({ N, P, Halves }) => fits(N, P, Halves),
  meaning: (_none, { N, K, Halves, Seed, Stream, std }, { dtype }) =>
    cast(packedPanels(randomNormal({ N, K, Seed, Stream, std }), Halves), dtype as DType),
  vjp: () => ({}),
  gpu: [{ from: ["product/pack.wgsl", "plain/random.wgsl"] }],
  rows: ({ P }) => P,
  cost: ({ N, K, wType }) => ({ bytes: N * K * bytesOf(wType), flops: 100 * N * K }),
  cases: dtypeNames.flatMap((dtype) => [
    { N: 33, K: 31, P: 3, Halves: 1, Seed: 3, Stream: 1, std: 0.5, dtype },
    { N: 48, K: 64, P: 4, Halves: 2, Seed: 3, Stream: 2, std: 1, dtype },
  ]),
})

export const packOps = [pack.op, unpack.op, randomPanels.op]
