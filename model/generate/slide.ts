// Beyond the end of a cache: its first tokens stay, the oldest behind them are dropped, and the others move
// down. Their keys are turned from the angles of their old positions to those of the new ones, which gives
// what they would be there to the rounding of f32 and of the cache; keys and values of all layers but the
// first go on holding what they had of the dropped tokens, as in llama.cpp (Xiao et al. 2023, arXiv
// 2309.17453, recompute none of them either).
import { checkWhole, constant, type Tensor, threefry, type Update } from "../../engine/index.ts"
import {
  cast,
  castFinite,
  mul,
  readRowsQ8,
  reshape,
  rotate,
  slice,
  writeRows,
  writeRowsQ8,
} from "../../ops/index.ts"
import type { DecoderConfig, DecoderWeights } from "../architecture.ts"
import { show } from "../json.ts"
import type { SequenceState } from "./state.ts"

/** What happens where a cache is full. */
export interface OverflowOptions {
  /** "error", the default, refuses what would not fit; "slide" drops the oldest tokens for it, but for
   *  the first `overflowKeep`. */
  readonly overflow?: "error" | "slide"
  /** First tokens that are never dropped; default 4, to which much attention goes. */
  readonly overflowKeep?: number
}

/** How a cache slides: tokens that stay at its beginning, and those that each slide drops. */
export interface Overflow {
  readonly keep: number
  readonly drop: number
}

const defaultKeep = 4

/** How a cache of `capacity` positions slides; undefined where it does not. As in llama.cpp, half of what
 *  may go is dropped at once. Throws RangeError for other ways and for too many that stay. */
export function checkOverflow(
  { overflow = "error", overflowKeep }: OverflowOptions,
  capacity: number,
): Overflow | undefined {
  if (overflow !== "error" && overflow !== "slide") {
    throw new RangeError(`generate: overflow is ${show(overflow)}, expected "error" or "slide"`)
  }
  const most = capacity - 2
  const keep = overflowKeep ?? Math.max(0, Math.min(defaultKeep, most))
  checkWhole("generate: overflowKeep", keep, 0, Math.max(0, most), ` to ${most}`)
  if (overflow === "error") return undefined
  if (most < 0) throw new RangeError("generate: a cache of one position cannot slide")
  return { keep, drop: Math.floor((capacity - keep) / 2) }
}

/** The angles of a model whose cache is to slide. Throws RangeError where it has none. */
export function anglesOf({ angles }: DecoderWeights, { modelType }: DecoderConfig): Tensor {
  if (angles) return angles
  throw new RangeError(
    `generate: overflow is "slide", which needs rotary positions, and ${modelType} has others`,
  )
}

/** Moves what lies behind the dropped positions down to those that stay.  All layers at once. */
export function recordSlide(
  { caches }: SequenceState,
  angles: Tensor, // (positions, E)
  { keep, drop }: Overflow,
): Update[] {
  const position = constant([keep], [1], "i32")
  return caches.flatMap(({ keys, values }): Update[] => {
    const [, E] = angles.shape as [number, number]
    const S = keys.shape[2] as number
    const count = S - keep - drop
    const at = (from: number): Tensor => reshape(slice(angles, 0, from, count), [1, 1, count, E])
    const rest = (x: Tensor): Tensor => slice(x, 2, keep + drop, count)
    const moved = (x: Tensor): Tensor =>
      x.dtype === "u8" ? rest(readRowsQ8(x)) : cast(rest(x), "f32") // (1, G, n, E)
    const back = mul(at(keep + drop), constant(conjugate(E), [E]))
    const turned = rotate(rotate(moved(keys), back), at(keep)) // (1, G, n, E)
    const put = (x: Tensor, rows: Tensor): Update => [
      x,
      x.dtype === "u8"
        ? writeRowsQ8(x, rows, position)
        : writeRows(x, castFinite(rows, x.dtype), position),
    ]
    return [put(keys, turned), put(values, moved(values))]
  })
}

/** Cosines as they are, sines the other way round. */
const conjugate = (E: number): Float32Array =>
  Float32Array.from({ length: E }, (_, j) => (j < E / 2 ? 1 : -1))

/** The seed after so many slides: positions come again, and what is drawn at them should not. */
export const seedAfter = (seed: number, slides: number): number =>
  slides === 0 ? seed : threefry(seed, slides, 0, 0)[0]
