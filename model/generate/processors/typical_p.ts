// Locally typical sampling (Meister et al. 2022, arXiv 2202.00666): only tokens whose surprise is
// closest to the expected one, until they have a probability.
import { numeric } from "./check.ts"
import { entropy, logSoftmax } from "./probabilities.ts"

export const typicalP = numeric({
  field: "typical_p",
  help: "only tokens of about the expected surprise, of this probability; 1 for all",
  range: { above: 0, to: 1 },
  isForSampling: true,
  change: (mass) => (mass === 1 ? undefined : (scores, { keep }) => typical(scores, mass, keep)),
})

function typical(scores: Float64Array, mass: number, keep: number): void {
  const logProbabilities = logSoftmax(scores)
  const expected = entropy(logProbabilities)
  const distance = logProbabilities.map((x) => Math.abs(-x - expected))
  const order = [...distance.keys()].filter((i) => (scores[i] as number) > -Infinity)
  order.sort((a, b) => (distance[a] as number) - (distance[b] as number))
  let last = 0
  let sum = 0
  for (const i of order) {
    sum += Math.exp(logProbabilities[i] as number)
    if (sum >= mass || last === order.length - 1) break
    last++
  }
  const furthest = distance[order[last] as number] as number
  const kept = new Set(order.slice(0, keep))
  for (const i of order) {
    if ((distance[i] as number) > furthest && !kept.has(i)) scores[i] = -Infinity
  }
}
