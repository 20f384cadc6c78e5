// After a number of new tokens the end becomes likelier with each: its logit s becomes
// s + |s|·(factor^n − 1), n tokens beyond them.
import { show } from "../../json.ts"
import { checkRange } from "./check.ts"
import type { Processor } from "./processor.ts"

export const exponentialDecayLengthPenalty: Processor<readonly [start: number, factor: number]> = {
  field: "exponential_decay_length_penalty",
  help: "makes the end likelier after some tokens: [tokens, factor]",
  check(given, name) {
    if (!Array.isArray(given) || given.length !== 2) {
      throw new TypeError(`${name} is ${show(given)}, expected a pair: [tokens, factor]`)
    }
    checkRange(`${name}: the tokens`, given[0], { from: 0, isWhole: true })
    checkRange(`${name}: the factor`, given[1], { above: 0 })
    return given
  },
  change:
    ([start, factor]) =>
    (scores, { ids, promptLength, ends }) => {
      const beyond = ids.length - promptLength - start
      if (beyond <= 0) return
      for (const id of ends) {
        const x = scores[id] as number
        scores[id] = x + Math.abs(x) * (factor ** beyond - 1)
      }
    },
}
