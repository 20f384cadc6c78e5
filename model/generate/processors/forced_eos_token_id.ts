// The last token that there is room for ends the text.
import { show } from "../../json.ts"
import { checkIdList } from "./check.ts"
import type { Processor } from "./processor.ts"

export const forcedEosTokenId: Processor<number | readonly number[], readonly number[]> = {
  field: "forced_eos_token_id",
  help: "id of an end, or several, that comes last where nothing else ended the text",
  check(given, name, vocabulary) {
    if (typeof given === "number") return checkIdList(name, [given], vocabulary)
    if (Array.isArray(given)) return checkIdList(name, given, vocabulary)
    throw new TypeError(`${name} is ${show(given)}, expected a token id or a list of them`)
  },
  change:
    (forced) =>
    (scores, { ids, longest }) => {
      if (ids.length !== longest - 1) return
      scores.fill(-Infinity)
      for (const id of forced) scores[id] = 0
    },
}
