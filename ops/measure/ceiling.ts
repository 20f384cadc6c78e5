// Kernels that do nothing useful as fast as the machine can: what every throughput is measured
// against. Kernels: ceiling.as.ts.
import { op } from "../../engine/index.ts"
import { affine } from "../plain/elementwise.ts"
import { reshape } from "../plain/movement.ts"
import { sumRows } from "../plain/reduce.ts"

/** Sum of each of R equal parts of a buffer, each read once front to back: memory read bandwidth.
 *  Streams parts are read side by side; Ahead 1 looks into the page after the next, as products do.
 *  A GPU has ways of its own.  x (R, C, 16), C a multiple of 4 → y (R) */
export const streamSum = op({
  name: "streamSum",
  sig: "x:(R,C,16) -> y:(R)",
  params: "R C Streams Ahead",
  check: ({ C, Streams }) =>
    C % 4
      ? `C ${C} is not a multiple of 4`
      : [1, 2, 4].includes(Streams)
        ? undefined
        : `Streams ${Streams} is not 1, 2 or 4`,
  meaning: ({ x }, { R, C }) => sumRows(reshape(x, [R, 16 * C])),
  gpu: [{ from: ["measure/ceiling.wgsl"], groups: ({ R }) => R }],
  rows: ({ R, Streams }) => Math.ceil(R / Streams),
  cost: ({ R, C }) => ({ bytes: 64 * R * C, flops: 16 * R * C }),
  cases: [
    { R: 4, C: 256, Streams: 1, Ahead: 0 },
    { R: 3, C: 4, Streams: 2, Ahead: 0 },
    { R: 2, C: 1052, Streams: 1, Ahead: 1 },
    { R: 5, C: 260, Streams: 2, Ahead: 1 },
    { R: 11, C: 68, Streams: 4, Ahead: 0 },
  ],
})

/** Ways to read, of which the fastest is what a machine can do. */
export const waysToRead = [
  { Streams: 1, Ahead: 0 },
  { Streams: 1, Ahead: 1 },
  { Streams: 2, Ahead: 0 },
  { Streams: 2, Ahead: 1 },
  { Streams: 4, Ahead: 0 },
] as const

/** Lanes that a processor's registers hold: 12 vectors of 4, or 20 where pairs run as one of 8; and
 *  as many as keep a workgroup of a GPU busy. */
export const lanes = { narrow: 48, wide: 80, gpu: 5120 } as const

function lanesFit({ Lanes }: { Lanes: number }): string | undefined {
  if (Lanes % lanes.narrow === 0 || Lanes % lanes.wide === 0) return undefined
  return `Lanes ${Lanes} is a multiple of neither ${lanes.narrow} nor ${lanes.wide}`
}

/** Count rounds of a ← a/2 + x from a = x, in every one of Lanes; y = the sum of the lanes
 *  = Lanes·x·(2 − 2^-Count): the multiply-add rate of the build.  x (R) → y (R) */
export const multiplyAdd = op({
  name: "multiplyAdd",
  sig: "x:(R) -> y:(R)",
  params: "R Count Lanes",
  check: lanesFit,
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

/** The most that Count times a byte fits a lane for. */
const mostCount = 2 ** 24

/** Count multiply-adds a ← a + x of whole numbers in every one of Lanes, by the dot products that
 *  quantized rows are multiplied with on a processor, or one by one on a GPU; y = the sum of the lanes = Lanes·Count·x.
 *  x (R) −128 … 127, Count a multiple of 4 → y (R) */
export const multiplyAddWhole = op({
  name: "multiplyAddWhole",
  sig: "x:(R) -> y:(R)",
  params: "R Count Lanes",
  check: ({ Count, Lanes }) =>
    Count % 4 || Count > mostCount
      ? `Count ${Count} is no multiple of 4 up to ${mostCount}`
      : lanesFit({ Lanes }),
  meaning: ({ x }, { Count, Lanes }) => affine(x, Lanes * Count, 0),
  gpu: [{ from: ["measure/ceiling.wgsl"] }],
  rows: ({ R }) => R,
  cost: ({ R, Count, Lanes }) => ({ bytes: 8 * R, flops: 2 * Lanes * R * Count }),
  cases: [
    { R: 2, Count: 12, Lanes: lanes.narrow },
    { R: 3, Count: 8, Lanes: lanes.wide },
  ],
  sample: () => (i) => ((i * 37) % 256) - 128,
})
