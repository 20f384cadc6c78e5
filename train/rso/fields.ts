// What statistical rejection sampling is asked for beside what preference tuning is.
import * as v from "valibot"
import { choice, whole } from "../../model/schema.ts"
import { path, positive, text } from "../run/field_list.ts"
import { data, isPath, isText, optimization, tuneFields } from "../tune/fields.ts"

const noRanker = { isText } as const

export const rsoFields = tuneFields("rso", {
  epochs: optimization(v.optional(positive, 1), "how often the pairs are gone through"),
  lr: optimization(v.optional(positive, 5e-5), "largest learning rate"),
  candidates: data(v.optional(whole(2, 4096), 64), "answers that are sampled for each prompt"),
  temperature: data(v.optional(positive, 0.7), "of their sampling"),
  topK: data(v.optional(whole(1), 40), "tokens that each is sampled from"),
  maxNewTokens: data(v.optional(whole(1), 128), "tokens of an answer"),
  together: data(v.optional(whole(1, 1024), 16), "answers that are decoded side by side"),
  ranker: data(
    v.optional(path),
    "run of elm tune reward, or a checkpoint of it, that scores them",
    {
      isPath,
      ...noRanker,
    },
  ),
  scorer: data(
    v.optional(text),
    "command that scores them instead: it reads lines of JSON and writes one for each",
    noRanker,
  ),
  accept: data(v.optional(whole(2), 8), "answers that are accepted for each prompt"),
  samplingBeta: data(v.optional(positive, 0.5), "how far a reward below the best is forgiven"),
  pairs: data(
    v.optional(choice("first_round", "tournament"), "first_round"),
    "first_round: half as many pairs as answers; tournament: winners meet again",
  ),
  maxLength: data(v.optional(whole(2), 1024), "tokens of a prompt with its longer answer"),
  maxPromptLength: data(v.optional(whole(1), 512), "tokens that are left of a longer prompt"),
  truncation: data(
    v.optional(choice("keep_end", "keep_start"), "keep_end"),
    "which part of such a prompt is left",
  ),
  loss: optimization(
    v.optional(choice("sigmoid", "hinge"), "sigmoid"),
    "sigmoid-norm or hinge-norm",
  ),
  gamma: optimization(v.optional(positive, 0.05), "how much log-probabilities count in the loss"),
})

/** Settings of statistical rejection sampling, as its fields check them. */
export type RsoSettings = v.InferOutput<typeof rsoFields.schema>
