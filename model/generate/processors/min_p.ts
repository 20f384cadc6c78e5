// Only tokens of at least a fraction of the likeliest one's probability (Nguyen et al. 2024,
// arXiv 2407.01082).
import { numeric } from "./check.ts"
import { ruleOut } from "./probabilities.ts"

export const minP = numeric({
  field: "min_p",
  help: "only tokens of this fraction of the likeliest's probability, 0 for all",
  range: { from: 0, to: 1 },
  isForSampling: true,
  change: (fraction) =>
    fraction === 0
      ? undefined
      : (scores, { keep }) => {
          const least = scores.reduce((a, b) => Math.max(a, b)) + Math.log(fraction)
          ruleOut(scores, keep, (i) => (scores[i] as number) < least)
        },
})
