// How long a prompt and what is generated after it may be, and the prompt that all models are given.
import { uniformAt } from "../../engine/index.ts"
import type { DecoderConfig } from "../../model/index.ts"
import { explainRounds } from "./explain.ts"

/** A rate of generation takes two tokens: the first is the prompt's. */
export const leastGenerated = 2

/** Token ids of the prompt: BOS, then seeded ids that every vocabulary has. */
export function promptOf(length: number, { bosId = 0, vocabSize }: DecoderConfig): number[] {
  const id = (i: number) =>
    3 + Math.floor(uniformAt(2404, 14619, 0, i) * (Math.min(vocabSize, 32000) - 3))
  return Array.from({ length }, (_, i) => (i === 0 ? bosId : id(i)))
}

export interface Lengths {
  readonly prompt: number
  readonly generate: number
  /** Lists the steps of a token too, for which the cache needs more places. */
  readonly explain?: boolean
}

/** The nearest lengths that a model's context holds, where it does not hold these. */
export function nearestFit(
  { prompt, generate, explain = false }: Lengths,
  { maxContext }: DecoderConfig,
): Lengths | undefined {
  const room = maxContext - (explain ? explainRounds : 0)
  const left = room - prompt
  if (generate <= left) return undefined
  if (left >= leastGenerated) return { prompt, generate: left }
  // Where the prompt leaves no room for a rate, less of it is the way out.
  const generated = room > generate ? generate : leastGenerated
  return { prompt: room - generated, generate: generated }
}

/** Throws RangeError where the context holds less: a step run beyond the end of the cache would write
 *  over other memory. */
export function checkFits(lengths: Lengths, config: DecoderConfig): void {
  const nearest = nearestFit(lengths, config)
  if (!nearest) return
  throw new RangeError(
    `the context of ${config.name} holds ${config.maxContext} tokens, not a prompt of ${lengths.prompt} ` +
      `and ${lengths.generate} after it. Use ${nearest.prompt} and ${nearest.generate} or less`,
  )
}
