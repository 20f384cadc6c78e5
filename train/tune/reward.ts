// A reward model: a ranker that learns to say which of two answers is better, asked in either order.
import * as v from "valibot"
import { whole } from "../../model/schema.ts"
import type { Labelled } from "../preference/batch.ts"
import type { EvaluationMetrics } from "../run/metrics.ts"
import { data, tuneFields } from "./fields.ts"
import type { TuneObjective } from "./objective.ts"
import { releaseOrder } from "./order.ts"
import { recordOf } from "./pairs.ts"
import { asked } from "./ranker.ts"
import { labelledLearner, stepOptionsOf } from "./sft.ts"

const list = tuneFields("reward", {
  sequenceLength: data(
    v.optional(whole(16), 1024),
    "tokens of a prompt with both answers; of a longer one the prompt's beginning is left out",
  ),
})

/** Settings of a ranker's training, as its fields check them. */
export type RewardSettings = v.InferOutput<typeof list.schema>

/** A question with its answer, and with the other one. */
export interface Ranked {
  readonly right: Labelled
  readonly wrong: Labelled
}

export const reward: TuneObjective<RewardSettings, Ranked> = {
  name: "reward",
  description: "train a ranker of answers on preferences, for elm tune rso",
  list,
  async examplesOf(record, { sequenceLength }, { tokenizer, model }) {
    const { chosen, rejected } = recordOf(record)
    const prompt = chosen.slice(0, -1)
    if (prompt.length === 0) {
      throw new RangeError("chosen has one turn, expected a prompt and an answer")
    }
    const most = Math.min(sequenceLength, model.config.maxContext) + 1
    const [better = "", worse = ""] = [chosen, rejected].map((all) => all.at(-1)?.content)
    const first = asked({ prompt, a: better, b: worse }, tokenizer, most)
    const second = asked({ prompt, a: worse, b: better }, tokenizer, most)
    return [
      { right: first.a, wrong: first.b },
      { right: second.b, wrong: second.a },
    ]
  },
  textsOf: ({ right }) => [right],
  orderOf: ({ seed }) => releaseOrder(seed),
  learnerOf({ settings, training, validation, ...opened }) {
    const options = { ...stepOptionsOf(settings, opened), zLoss: 0 }
    return labelledLearner(opened, options, {
      training: training.map(({ right }) => right),
      length: undefined,
      async evaluate(logProbs) {
        const right = await logProbs(validation.map((each) => each.right))
        const wrong = await logProbs(validation.map((each) => each.wrong))
        return evaluationOf(right, wrong)
      },
    })
  },
}

/** Of log-probabilities of the right and of the wrong answers. */
function evaluationOf(
  right: readonly number[],
  wrong: readonly number[],
): Omit<EvaluationMetrics, "step"> {
  const loss = -right.reduce((a, b) => a + b, 0) / right.length
  return {
    validation_loss: loss,
    validation_perplexity: Math.exp(loss),
    validation_tokens: right.length,
    validation_accuracy: right.filter((x, i) => x > (wrong[i] as number)).length / right.length,
  }
}
