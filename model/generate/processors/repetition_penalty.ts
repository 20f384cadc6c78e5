// Tokens of the prompt and of what followed become less likely, each once however often it stands there
// (Keskar et al. 2019, arXiv 1909.05858): logits above 0 are divided, those below multiplied.
import { numeric } from "./check.ts"

export const repetitionPenalty = numeric({
  field: "repetition_penalty",
  help: "makes tokens that were there less likely, above 1; 1 for none",
  range: { above: 0 },
  change: (penalty) =>
    penalty === 1
      ? undefined
      : (scores, { ids }) => {
          for (const id of new Set(ids)) {
            const x = scores[id] as number
            scores[id] = x < 0 ? x * penalty : x / penalty
          }
        },
})
