// Logits as logarithms of probabilities, after all that changed them.
import { show } from "../../json.ts"
import { logSoftmax } from "./probabilities.ts"
import type { Processor } from "./processor.ts"

export const renormalizeLogits: Processor<boolean> = {
  field: "renormalize_logits",
  help: "gives logarithms of probabilities after all that changed them",
  check(given, name) {
    if (typeof given === "boolean") return given
    throw new TypeError(`${name} is ${show(given)}, expected true or false`)
  },
  change: (isAsked) => (isAsked ? (scores) => scores.set(logSoftmax(scores)) : undefined),
}
