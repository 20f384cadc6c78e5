// How beams are searched, checked.
import { show } from "../json.ts"
import { checkRange } from "./processors/check.ts"

/** How beams are searched. */
export interface BeamOptions {
  /** Continuations of which the likeliest go on; 1, the default, searches none. */
  readonly numBeams?: number
  /** The score of a finished one is the sum of log p over this power of its length; default 1. Above 0
   *  longer ones are preferred. */
  readonly lengthPenalty?: number
  /** true ends with as many finished ones as beams; false, the default, when no other is likely to be
   *  better, by the length that there is; "never" when none can be. */
  readonly earlyStopping?: boolean | "never"
}

/** Throws TypeError or RangeError that begins with a name. */
export function checkBeams(
  { numBeams = 1, lengthPenalty = 1, earlyStopping = false }: BeamOptions,
  names: Readonly<Record<keyof BeamOptions, string>>,
): Required<BeamOptions> {
  checkRange(names.numBeams, numBeams, { from: 1, isWhole: true })
  checkRange(names.lengthPenalty, lengthPenalty, {})
  if (typeof earlyStopping === "boolean" || earlyStopping === "never") {
    return { numBeams, lengthPenalty, earlyStopping }
  }
  throw new TypeError(
    `${names.earlyStopping} is ${show(earlyStopping)}, expected true, false or "never"`,
  )
}
