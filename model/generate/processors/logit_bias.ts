// Added to the logits of single tokens. As OpenAI's API has it.
import { checkNumber } from "../../json.ts"
import { checkEntries, checkRange } from "./check.ts"
import type { Processor } from "./processor.ts"

export const logitBias: Processor<Readonly<Record<number, number>>> = {
  field: "logit_bias",
  help: "adds to logits of tokens: {id: bias, …}",
  check(given, name, { size }) {
    for (const [id, bias] of checkEntries(name, given, "an object of ids with their biases")) {
      checkNumber(`${name}: an id`, id.trim() === "" ? id : Number(id), 0, size - 1, true)
      checkRange(`${name}: the bias of ${Number(id)}`, bias, {})
    }
    return given
  },
  change(biases) {
    const pairs = Object.entries(biases)
    if (pairs.length === 0) return undefined
    return (scores) => {
      for (const [id, bias] of pairs) scores[Number(id)] = (scores[Number(id)] as number) + bias
    }
  },
}
