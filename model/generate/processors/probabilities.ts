// Probabilities of logits, in f64. Logits that are ruled out (-Infinity) have none.

/** log p of each logit.  (V) → (V) */
export function logSoftmax(scores: ArrayLike<number>): Float64Array {
  const result = Float64Array.from(scores)
  const shift = logSumExp(result)
  for (let i = 0; i < result.length; i++) result[i] = (result[i] as number) - shift
  return result
}

/** p of each logit.  (V) → (V) */
export function softmax(scores: ArrayLike<number>): Float64Array {
  return logSoftmax(scores).map(Math.exp)
}

function logSumExp(scores: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY
  for (const x of scores) if (x > top) top = x
  if (top === Number.NEGATIVE_INFINITY) return top
  let sum = 0
  for (const x of scores) sum += Math.exp(x - top)
  return top + Math.log(sum)
}

/** −Σ p·log p, in nats. */
export const entropy = (logProbabilities: Float64Array): number =>
  logProbabilities.reduce((sum, x) => (x > -Infinity ? sum - Math.exp(x) * x : sum), 0)

/** The smallest of the `count` largest. */
export function nthLargest(scores: Float64Array, count: number): number {
  const sorted = scores.slice().sort()
  return sorted[Math.max(0, sorted.length - count)] as number
}

/** Rules out all for which `isOut` holds, but for the `keep` largest. */
export function ruleOut(scores: Float64Array, keep: number, isOut: (i: number) => boolean): void {
  const least = nthLargest(scores, keep)
  for (let i = 0; i < scores.length; i++) {
    if ((scores[i] as number) < least && isOut(i)) scores[i] = -Infinity
  }
}
