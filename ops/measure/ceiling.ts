// Two kernels that do nothing useful as fast as the machine can: what every throughput is measured
// against. Kernels: ceiling.as.ts.
import { op } from "../../engine/index.ts"
import { affine } from "../plain/elementwise.ts"
import { reshape } from "../plain/movement.ts"
import { sumRows } from "../plain/reduce.ts"

/** Sum of each of R equal parts of a buffer, each read once front to back: memory read bandwidth.
 *  x (R, C, 16), C a multiple of 4 → y (R) */
export const streamSum = op({
  name: "streamSum",
  sig: "x:(R,C,16) -> y:(R)",
  params: "R C",
  check: ({ C }) => (C % 4 ? `C ${C} is not a multiple of 4` : undefined),
  meaning: ({ x }, { R, C }) => sumRows(reshape(x, [R, 16 * C])),
  gpu: [{ from: ["measure/ceiling.wgsl"] }],
  rows: ({ R }) => R,
  cost: ({ R, C }) => ({ bytes: 64 * R * C, flops: 16 * R * C }),
  cases: [
    { R: 4, C: 256 },
    { R: 3, C: 4 },
    { R: 2, C: 1052 },
  ],
})

/** Lanes that a processor's registers hold: 12 vectors of 4, or 20 where pairs run as one of 8; and
 *  as many as keep a workgroup of a GPU busy. */
export const lanes = { narrow: 48, wide: 80, gpu: 5120 } as const

/** Count rounds of a ← a/2 + x from a = x, in every one of Lanes; y = the sum of the lanes
 *  = Lanes·x·(2 − 2^-Count): the multiply-add rate of the build.  x (R) → y (R) */
export const multiplyAdd = op({
  name: "multiplyAdd",
  sig: "x:(R) -> y:(R)",
  params: "R Count Lanes",
  check: ({ Lanes }) =>
    Lanes % lanes.narrow && Lanes % lanes.wide
      ? `Lanes ${Lanes} is a multiple of neither ${lanes.narrow} nor ${lanes.wide}`
      : undefined,
  meaning: ({ x }, { Count, Lanes }) => affine(x, Lanes * (2 - 2 ** -Count), 0),
  gpu: [{ from: ["measure/ceiling.wgsl"] }],
  rows: ({ R }) => R,
  cost: ({ R, Count, Lanes }) => ({ bytes: 8 * R, flops: 2 * Lanes * R * Count }),
  cases: [
    { R: 2, Count: 3, Lanes: lanes.narrow },
    { R: 3, Count: 5, Lanes: lanes.wide },
    { R: 2, Count: 4, Lanes: lanes.gpu },
  ],
})
