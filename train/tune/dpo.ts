// Preference tuning: answers that are preferred against others, relative to the model as the run began.
import * as v from "valibot"
import type { Tokenizer } from "../../model/index.ts"
import { choice, whole } from "../../model/schema.ts"
import type { PreferenceLoss } from "../objectives/index.ts"
import type { PreferencePair } from "../preference/batch.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { createPreferenceStep, metricsOf, type PreferenceResult } from "../preference/step.ts"
import { type PreferenceLimits, tokenizePreference } from "../preference/tokenize.ts"
import { below1, positive } from "../run/field_list.ts"
import type { PairMetrics, PreferenceEvaluation } from "../run/metrics.ts"
import { trainedOf } from "../step/trained.ts"
import { data, isFree, optimization, tuneFields } from "./fields.ts"
import type { Learner, Learnt, TuneObjective } from "./objective.ts"
import { trainerOrder } from "./order.ts"
import { recordOf } from "./pairs.ts"
import { referenceOf } from "./reference.ts"
import { countedIn, logProbsOf } from "./rows.ts"
import { stepOptionsOf } from "./sft.ts"

const list = tuneFields("dpo", {
  epochs: optimization(v.optional(positive, 1), "how often the data is gone through", { isFree }),
  lr: optimization(v.optional(positive, 5e-5), "largest learning rate"),
  maxLength: data(v.optional(whole(2), 1024), "tokens of a prompt with its longer answer"),
  maxPromptLength: data(
    v.optional(whole(1), 512),
    "tokens that are left of a prompt where the two are longer",
  ),
  truncation: data(
    v.optional(choice("keep_end", "keep_start"), "keep_end"),
    "which part of such a prompt is left",
  ),
  loss: optimization(
    v.optional(choice("sigmoid", "hinge", "ipo"), "sigmoid"),
    "sigmoid (DPO), hinge or ipo",
  ),
  beta: optimization(v.optional(positive, 0.1), "how much log-probabilities count"),
  labelSmoothing: optimization(
    v.optional(below1, 0),
    "part of the preferences that are taken to be the other way round",
  ),
})

/** Settings of a run of preference tuning, as its fields check them. */
export type DpoSettings = v.InferOutput<typeof list.schema>

export const dpo: TuneObjective<DpoSettings, PreferencePair> = {
  name: "dpo",
  description: "tune a model on preferences: DPO, hinge, IPO",
  list,
  check({ maxLength, maxPromptLength, loss, labelSmoothing }, from, spelled) {
    if (maxPromptLength >= maxLength) {
      const names = [spelled("maxPromptLength"), spelled("maxLength")] as const
      throw new RangeError(
        `${from}: ${names[0]} ${maxPromptLength} leaves no room in the ${names[1]} of ${maxLength}`,
      )
    }
    if (labelSmoothing > 0 && loss !== "sigmoid") {
      throw new RangeError(
        `${from}: ${spelled("labelSmoothing")} is of the sigmoid loss, loss is ${loss}. Leave it out`,
      )
    }
  },
  examplesOf: async (record, settings, { tokenizer, model }) => [
    pairOf(record, settings, tokenizer, model.config.maxContext),
  ],
  textsOf: ({ chosen, rejected }) => [chosen, rejected],
  orderOf: ({ seed }) => trainerOrder(seed),
  learnerOf: (learnt) => preferenceLearner(learnt),
}

/** A record in tokens. Throws TypeError and RangeError saying what is wrong with it. */
function pairOf(
  json: Readonly<Record<string, unknown>>,
  limits: Required<PreferenceLimits>,
  tokenizer: Tokenizer,
  maxContext: number,
): PreferencePair {
  const { maxLength, maxPromptLength, truncation } = limits
  const record = recordOf(json)
  const given = { maxLength, maxPromptLength, truncation }
  const { chosen, rejected } = tokenizePreference(record, tokenizer, given)
  for (const [name, text] of Object.entries({ chosen, rejected })) {
    const { length } = text.ids
    if (length - 1 > maxContext) {
      throw new RangeError(
        `${name} has ${length} tokens with its prompt, beyond the context of ${maxContext}. Lower ` +
          "maxLength (in files max_length)",
      )
    }
    if (countedIn(text) === 0) {
      throw new RangeError(`${name}: every label is masked, so nothing of the answer counts`)
    }
  }
  return { chosen, rejected }
}

async function preferenceLearner(learnt: Learnt<DpoSettings, PreferencePair>): Promise<Learner> {
  const { settings, model, adapter, training, validation, ranks } = learnt
  const { loss, beta, labelSmoothing } = settings
  const rows = (2 * settings.batchSize) / settings.accumulation
  const { about, sums } = await referenceOf(learnt, rows)
  const { ignoreIndex: _, ...options } = stepOptionsOf(settings, learnt)
  const own = { loss, beta, labelSmoothing, reference: "given" } as const
  const step = await createPreferenceStep(model, { ...(options as object), ...own })
  const scorer = new ReferenceScorer(model, trainedOf(model, adapter).decoder)
  const pairAt = (i: number): PreferencePair => ({
    ...(training[i] as PreferencePair),
    reference: { chosen: sums[2 * i] as number, rejected: sums[2 * i + 1] as number },
  })
  let since: PreferenceResult[] = []
  return {
    step: step.state,
    about: [about],
    async update(microBatches, lr) {
      const batch = microBatches.map((rows) => rows.map(([i]) => pairAt(i as number)))
      const start = performance.now()
      const result = await step(batch, { lr })
      const ms = performance.now() - start
      since.push(result)
      const texts = batch.flat().flatMap(({ chosen, rejected }) => [chosen, rejected])
      const counted = texts.reduce((sum, each) => sum + countedIn(each), 0)
      const longest = Math.max(...texts.map(({ ids }) => ids.length - 1))
      return { gradNorm: result.gradNorm, positions: texts.length * longest, counted, ms }
    },
    report() {
      const losses = meanOf(since)
      since = []
      return losses
    },
    evaluate: () =>
      step.state.still(async () => {
        const texts = validation.flatMap((pair) => dpo.textsOf(pair))
        const found = await logProbsOf(scorer, model, texts, rows, ranks)
        return evaluationOf(found, sums.slice(2 * training.length), settings)
      }),
    async close() {
      scorer.close()
      await step.close()
    },
  }
}

/** Results of updates as their means, as TRL names them. */
function meanOf(results: readonly PreferenceResult[]) {
  const mean = (of: (result: PreferenceResult) => number): number =>
    results.reduce((sum, each) => sum + of(each), 0) / results.length
  return {
    loss: mean(({ loss }) => loss),
    ...named(mean),
    "logits/chosen": mean(({ chosenLogits }) => chosenLogits),
    "logits/rejected": mean(({ rejectedLogits }) => rejectedLogits),
  }
}

/** The metrics of pairs, each found by `of`. */
const named = (
  of: (part: (result: ReturnType<typeof metricsOf>) => number) => number,
): PairMetrics => ({
  "rewards/chosen": of(({ chosenRewards }) => chosenRewards),
  "rewards/rejected": of(({ rejectedRewards }) => rejectedRewards),
  "rewards/accuracies": of(({ accuracy }) => accuracy),
  "rewards/margins": of(({ margin }) => margin),
  "logps/chosen": of(({ chosenLogProb }) => chosenLogProb),
  "logps/rejected": of(({ rejectedLogProb }) => rejectedLogProb),
})

/** Of log-probabilities of chosen and rejected answers in turns, and of the reference's. */
function evaluationOf(
  sums: readonly number[],
  reference: readonly number[],
  { loss, beta, labelSmoothing: flipped }: DpoSettings,
): Omit<PreferenceEvaluation, "step"> {
  const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
  const lossOf: Record<PreferenceLoss, (h: number) => number> = {
    sigmoid: (h) => (1 - flipped) * softplus(-beta * h) + flipped * softplus(beta * h),
    hinge: (h) => Math.max(0, 1 - beta * h),
    ipo: (h) => (h - 1 / (2 * beta)) ** 2,
  }
  const gains = sums.map((sum, i) => sum - (reference[i] as number))
  const pairs = gains.length / 2
  let total = 0
  for (let i = 0; i < gains.length; i += 2) {
    total += lossOf[loss]((gains[i] as number) - (gains[i + 1] as number))
  }
  const found = metricsOf(Float32Array.from(sums), Float32Array.from(reference), 2, beta)
  return { validation_loss: total / pairs, ...named((of) => of(found)) }
}
