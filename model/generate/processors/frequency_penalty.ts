// Taken from a token's logit for each time that it was chosen; the prompt does not count. As OpenAI's
// API has it.
import { numeric } from "./check.ts"

export const frequencyPenalty = numeric({
  field: "frequency_penalty",
  help: "taken from a logit for each time that its token was chosen",
  range: {},
  change: (penalty) =>
    penalty === 0
      ? undefined
      : (scores, { ids, promptLength }) => {
          for (let i = promptLength; i < ids.length; i++) {
            const id = ids[i] as number
            scores[id] = (scores[id] as number) - penalty
          }
        },
})
