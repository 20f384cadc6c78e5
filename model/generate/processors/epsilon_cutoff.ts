// No tokens of less than a probability (Hewitt et al. 2022, arXiv 2210.15191).
import { numeric } from "./check.ts"
import { ruleOut, softmax } from "./probabilities.ts"

export const epsilonCutoff = numeric({
  field: "epsilon_cutoff",
  help: "no tokens of less than this probability, 0 for all",
  range: { from: 0, to: 1 },
  isForSampling: true,
  change: (epsilon) =>
    epsilon === 0
      ? undefined
      : (scores, { keep }) => {
          const p = softmax(scores)
          ruleOut(scores, keep, (i) => (p[i] as number) < epsilon)
        },
})
