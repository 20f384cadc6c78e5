// Only the likeliest tokens that together have a probability (Holtzman et al. 2020, arXiv 1904.09751).
import { numeric } from "./check.ts"
import { softmax } from "./probabilities.ts"

export const topP = numeric({
  field: "top_p",
  help: "only the likeliest tokens of this probability, 1 for all",
  range: { from: 0, to: 1 },
  isForSampling: true,
  isOnDevice: true,
  change: (p) => (p === 1 ? undefined : (scores, { keep }) => nucleus(scores, p, keep)),
})

/** From the least likely on, all leave that together have no more than 1 − p; of equals, the first. */
function nucleus(scores: Float64Array, p: number, keep: number): void {
  const sorted = scores.slice().sort()
  const mass = softmax(sorted)
  const most = sorted.length - keep
  let count = 0
  for (let sum = mass[0] as number; count < most && sum <= 1 - p; sum += mass[++count] as number);
  const edge = sorted[count] as number
  // How many equals of the last one that stays are among those that leave.
  let equals = count - sorted.indexOf(edge)
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i] as number
    if (x < edge || (x === edge && equals-- > 0)) scores[i] = -Infinity
  }
}
