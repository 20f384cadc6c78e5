// The table of angles of models whose positions are rotary.
import { ropeAngles } from "../../../ops/index.ts"
import type { DecoderConfig } from "../../architecture.ts"

/** A row of E/2 cosines and E/2 sines for each position, by `frequencies()` (E/2): what an
 *  architecture's `tables` has. */
export const anglesBy = (
  { maxContext, headDim }: DecoderConfig,
  frequencies: () => Float32Array,
) => ({
  angles: {
    shape: [maxContext, headDim],
    values: () => ropeAngles(maxContext, frequencies()),
  },
})
