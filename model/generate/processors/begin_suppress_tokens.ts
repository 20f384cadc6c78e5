// Tokens that do not come first after the prompt.
import { checkIdList } from "./check.ts"
import type { Processor } from "./processor.ts"

export const beginSuppressTokens: Processor<readonly number[]> = {
  field: "begin_suppress_tokens",
  help: "ids that do not come first after the prompt",
  check: (given, name, vocabulary) => checkIdList(name, given, vocabulary, true),
  change: (banned) =>
    banned.length === 0
      ? undefined
      : (scores, { ids, promptLength }) => {
          if (ids.length === promptLength) for (const id of banned) scores[id] = -Infinity
        },
}
