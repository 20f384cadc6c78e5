// No end before the continuation has a length.
import { numeric } from "./check.ts"
import type { Change, Step } from "./processor.ts"

export const minNewTokens = numeric({
  field: "min_new_tokens",
  help: "no end before so many tokens after the prompt",
  range: { from: 0, isWhole: true },
  change: (least) =>
    least === 0
      ? undefined
      : withoutEnds(({ ids, promptLength }) => ids.length - promptLength < least),
})

/** Rules out the tokens that end a text as long as `isShort` holds. */
export const withoutEnds =
  (isShort: (step: Step) => boolean): Change =>
  (scores, step) => {
    if (isShort(step)) for (const id of step.ends) scores[id] = -Infinity
  }
