// Statistical rejection sampling of answers, and pairs of them.  Liu et al. 2023, arXiv 2309.06657
import { checkObject, checkWhole } from "../../engine/index.ts"
import { checkNumberOf, isPositive } from "../checks.ts"

/** Answers that a policy sampled, with their rewards, and how they are to be chosen among. */
export interface RejectionSampling {
  /** Equal texts are one candidate: at the first one's place, with the last one's reward. */
  readonly texts: readonly string[]
  readonly rewards: readonly number[]
  /** How far a reward below the best is forgiven; default 0.5. */
  readonly beta?: number
  /** How many are accepted; default 8. */
  readonly k?: number
  /** Numbers from 0 to 1, one for each candidate that is looked at; default Math.random. */
  readonly uniform?: () => number
}

/**
 * Places of the accepted answers, in the order of acceptance (algorithm 1): passes over what remains, each
 * against the best of its start. Throws RangeError for fewer candidates than are to be accepted.
 */
export function rejectionSample(sampling: RejectionSampling): number[] {
  checkObject("rejectionSample: the argument", sampling)
  const { texts, rewards, beta = 0.5, k = 8, uniform = Math.random } = sampling
  if (!Array.isArray(texts) || !Array.isArray(rewards) || texts.length !== rewards.length) {
    throw new RangeError("rejectionSample: texts and rewards must be lists of one length")
  }
  if (!rewards.every((reward) => Number.isFinite(reward))) {
    throw new RangeError("rejectionSample: every reward must be a finite number")
  }
  checkNumberOf("rejectionSample: beta", beta, isPositive, "above 0")
  checkWhole("rejectionSample: k", k, 1)
  const candidates = new Map<string, { at: number; reward: number }>()
  texts.forEach((text, i) => {
    const at = candidates.get(text)?.at ?? i
    candidates.set(text, { at, reward: rewards[i] as number })
  })
  if (candidates.size < k) {
    throw new RangeError(
      `rejectionSample: ${candidates.size} different candidates, ${k} to be accepted. Sample more`,
    )
  }
  let left = [...candidates.values()]
  const accepted: number[] = []
  while (accepted.length < k) {
    const best = Math.max(...left.map(({ reward }) => reward))
    const taken = new Set<number>()
    for (const { at, reward } of left) {
      if (uniform() >= Math.exp((reward - best) / beta)) continue
      taken.add(at)
      accepted.push(at)
      if (accepted.length === k) break
    }
    left = left.filter(({ at }) => !taken.has(at))
  }
  return accepted
}

/** A preferred answer and another, by their places. */
export type RankedPair = readonly [winner: number, loser: number]

/** Pairs of answers in a given order, an even number of them: n/2 of one round, or, in a tournament, n − 1,
 *  whose winners meet again. Throws RangeError for odd rounds. */
export function rankPairs(
  rewards: readonly number[],
  order: readonly number[],
  how: "first_round" | "tournament",
): RankedPair[] {
  if (!Array.isArray(rewards)) throw new TypeError("rankPairs: rewards must be a list of numbers")
  if (!Array.isArray(order) || !order.every((i) => typeof rewards[i] === "number")) {
    throw new TypeError("rankPairs: order must be a list of places among the rewards")
  }
  if (how !== "first_round" && how !== "tournament") {
    throw new RangeError('rankPairs: how must be "first_round" or "tournament"')
  }
  if (order.length < 2 || order.length % 2 !== 0) {
    throw new RangeError(`rankPairs: ${order.length} answers make no pairs. Give an even number`)
  }
  const pairs: RankedPair[] = []
  for (let i = 0; i < order.length; i += 2) {
    const [a, b] = [order[i] as number, order[i + 1] as number]
    pairs.push((rewards[b] as number) > (rewards[a] as number) ? [b, a] : [a, b])
  }
  const winners = pairs.map(([winner]) => winner)
  if (how === "first_round" || winners.length < 2) return pairs
  return [...pairs, ...rankPairs(rewards, winners, how)]
}

/** The reward of an answer that is better than a baseline with probability p: the logit. */
export const rewardOf = (p: number): number => Math.log(p / (1 - p))
