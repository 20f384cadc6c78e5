// Tokens that never come.
import { checkIdList } from "./check.ts"
import type { Processor } from "./processor.ts"

export const suppressTokens: Processor<readonly number[]> = {
  field: "suppress_tokens",
  help: "ids that never come",
  check: (given, name, vocabulary) => checkIdList(name, given, vocabulary, true),
  change: (ids) =>
    ids.length === 0
      ? undefined
      : (scores) => {
          for (const id of ids) scores[id] = -Infinity
        },
}
