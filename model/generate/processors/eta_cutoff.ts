// No tokens of less than a probability that falls with the entropy (Hewitt et al. 2022,
// arXiv 2210.15191): min(ε, √ε·exp(−H)).
import { numeric } from "./check.ts"
import { entropy, logSoftmax, ruleOut } from "./probabilities.ts"

export const etaCutoff = numeric({
  field: "eta_cutoff",
  help: "no tokens of less than min(x, √x·exp(−entropy)), 0 for all",
  range: { from: 0, to: 1 },
  isForSampling: true,
  change: (epsilon) =>
    epsilon === 0
      ? undefined
      : (scores, { keep }) => {
          const logProbabilities = logSoftmax(scores)
          const eta = Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy(logProbabilities)))
          ruleOut(scores, keep, (i) => Math.exp(logProbabilities[i] as number) < eta)
        },
})
