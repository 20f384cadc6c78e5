// No end before prompt and continuation together have a length.
import { numeric } from "./check.ts"
import { withoutEnds } from "./min_new_tokens.ts"

export const minLength = numeric({
  field: "min_length",
  help: "no end before so many tokens, those of the prompt among them",
  range: { from: 0, isWhole: true },
  change: (least) => (least === 0 ? undefined : withoutEnds(({ ids }) => ids.length < least)),
})
