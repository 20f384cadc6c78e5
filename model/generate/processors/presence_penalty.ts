// Taken from a token's logit once it was chosen, however often; the prompt does not count. As OpenAI's
// API has it.
import { numeric } from "./check.ts"

export const presencePenalty = numeric({
  field: "presence_penalty",
  help: "taken from a logit once its token was chosen",
  range: {},
  change: (penalty) =>
    penalty === 0
      ? undefined
      : (scores, { ids, promptLength }) => {
          for (const id of new Set(ids.slice(promptLength))) {
            scores[id] = (scores[id] as number) - penalty
          }
        },
})
