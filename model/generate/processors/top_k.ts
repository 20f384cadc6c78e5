// Only the k likeliest; equals of the last of them stay.
import { numeric } from "./check.ts"
import { nthLargest } from "./probabilities.ts"

export const topK = numeric({
  field: "top_k",
  help: "only the k likeliest tokens, 0 for all",
  range: { from: 0, isWhole: true },
  isForSampling: true,
  isOnDevice: true,
  change: (k) =>
    k === 0
      ? undefined
      : (scores, { keep }) => {
          const least = nthLargest(scores, Math.max(k, keep))
          for (let i = 0; i < scores.length; i++) {
            if ((scores[i] as number) < least) scores[i] = -Infinity
          }
        },
})
