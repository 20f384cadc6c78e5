// Added to the logit of a sequence's last token where the others stand just before it.
import { isObject, show } from "../../json.ts"
import { checkIdList, checkRange } from "./check.ts"
import type { Change, Processor } from "./processor.ts"

/** A sequence of ids, and what is added. */
export type SequenceBias = readonly [ids: readonly number[], bias: number]

export const sequenceBias: Processor<readonly SequenceBias[]> = {
  field: "sequence_bias",
  help: "adds to the logit of the last of some tokens after the others: [[[ids], bias], …]",
  check(given, name, vocabulary) {
    const expected = "expected a list of pairs of ids and a bias, such as [[[7, 8], -2.5]]"
    if (!Array.isArray(given)) throw new TypeError(`${name} is ${show(given)}, ${expected}`)
    for (const pair of given as readonly unknown[]) {
      if (!Array.isArray(pair) || pair.length !== 2 || isObject(pair)) {
        throw new TypeError(`${name} holds ${show(pair)}, ${expected}`)
      }
      checkIdList(`${name}: a sequence`, pair[0], vocabulary)
      checkRange(`${name}: a bias`, pair[1], {})
    }
    return given
  },
  change: (pairs) => (pairs.length === 0 ? undefined : biased(pairs)),
}

/** Biases of all sequences whose beginning the text ends in; the sum where there are several. A sequence
 *  longer than the text is not looked for. */
export const biased =
  (pairs: readonly SequenceBias[]): Change =>
  (scores, { ids }) => {
    for (const [sequence, bias] of pairs) {
      const before = sequence.length - 1
      if (sequence.length > ids.length && before > 0) continue
      const from = ids.length - before
      if (sequence.slice(0, -1).some((id, i) => ids[from + i] !== id)) continue
      const last = sequence[before] as number
      scores[last] = (scores[last] as number) + bias
    }
  }
