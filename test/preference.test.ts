// Preference training against the golden numbers of TRL's (test/fixtures/tune/dpo_train).

import { JsBackend } from "../backends/js/index.ts"
import { readTensors } from "../engine/index.ts"
import {
  createPreferenceStep,
  LanguageModel,
  ops,
  type PreferencePair,
  type Tensor,
} from "../index.ts"
import { specsOf } from "../model/index.ts"
import { ReferenceScorer } from "../train/preference/reference.ts"
import { logProbsOf } from "../train/tune/rows.ts"
import { allBackends, relativeError } from "./backends.ts"
import { fixtureJson, golden, goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const record = fixtureJson("tune/dpo_train.json")
const { path, remove } = goldenFolder()
t.teardown(remove)

type Row = Readonly<Record<`${"chosen" | "rejected"}_${"input_ids" | "labels"}`, number[]>>
const pairs: PreferencePair[] = record.rows.map((row: Row) => ({
  chosen: { ids: row.chosen_input_ids, labels: row.chosen_labels },
  rejected: { ids: row.rejected_input_ids, labels: row.rejected_labels },
}))

type Step = Readonly<
  Record<
    | ("loss" | "lr" | "grad_norm_before_clip" | "logps/chosen" | "logps/rejected")
    | `rewards/${"chosen" | "rejected" | "margins" | "accuracies"}`,
    number
  >
> & { readonly micro_batches: number[][] }

interface Run {
  readonly loss_type: "sigmoid" | "hinge"
  readonly beta: number
  readonly steps: readonly Step[]
  readonly param_sums_after_last: Readonly<Record<string, readonly [number, number]>>
}

for (const { label, open } of allBackends) {
  t.test(`preferences on ${label} are learnt as the original learns them`, async (t) => {
    const backend = await open()
    const after = await golden("tune/dpo_train.safetensors")
    for (const [name, run] of Object.entries<Run>(record.runs)) {
      const model = await LanguageModel.load(path, { backend })
      const step = await createPreferenceStep(model, {
        loss: run.loss_type,
        beta: run.beta,
        accumulation: 2,
      })
      // In float64 an update takes a second.
      const isSlow = label === "js"
      if (isSlow && name !== "sigmoid") continue
      for (const [i, want] of run.steps.slice(0, isSlow ? 2 : undefined).entries()) {
        const micro = want.micro_batches.map((rows: number[]) =>
          rows.map((n) => pairs[n] as PreferencePair),
        )
        const answers = (of: (pair: PreferencePair) => PreferencePair["chosen"]) =>
          i === 0 ? meanLogit(model, micro.flat().map(of)) : undefined
        const [chosen, rejected] = [
          await answers((x) => x.chosen),
          await answers((x) => x.rejected),
        ]
        const got = await step(micro, { lr: want.lr })
        const near = (what: string, x: number, y: number) =>
          t.ok(Math.abs(x - y) < 6e-6, `${name} ${i}: ${what} ${x}, ${y}`)
        near("loss", got.loss, want.loss)
        near("chosen", got.chosenRewards, want["rewards/chosen"])
        near("rejected", got.rejectedRewards, want["rewards/rejected"])
        near("margin", got.margin, want["rewards/margins"])
        if (chosen !== undefined) near("logits of chosen", got.chosenLogits, chosen)
        if (rejected !== undefined) near("logits of rejected", got.rejectedLogits, rejected)
        near("accuracy", got.accuracy, want["rewards/accuracies"])
        const close = (x: number, y: number) => Math.abs(x - y) <= 2e-5 * Math.abs(y) + 1e-12
        t.ok(close(got.chosenLogProb, want["logps/chosen"]), `${name} ${i}: ${got.chosenLogProb}`)
        t.ok(close(got.rejectedLogProb, want["logps/rejected"]), `${name} ${i}`)
        t.ok(close(got.gradNorm, want.grad_norm_before_clip), `${name} ${i}: norm ${got.gradNorm}`)
      }
      for (const { name: each, shape, halves, matrix } of isSlow ? [] : specsOf(model.config)) {
        const [N, K] = shape as [number, number]
        const panels = model.tensors.get(each) as Tensor
        const rows = matrix ? ops.unpack(panels, { N, K, Halves: halves, dtype: "f32" }) : panels
        const [values = []] = await readTensors([rows], backend)
        const [sum, squares] = run.param_sums_after_last[each] as readonly [number, number]
        const total = (of: (x: number) => number) =>
          [...(values as Float32Array)].reduce((a, x) => a + of(x), 0)
        t.ok(Math.abs(total((x) => x * x) - squares) < 1e-4 * squares, `${name}: ${each}`)
        t.ok(Math.abs(total((x) => x) - sum) < 4e-6 * (N * (K ?? 1)), `${name}: ${each}`)
        const whole = after.get(`${name}/${each}`)
        if (!whole) continue
        const error = Math.max(...whole.values.map((x, n) => Math.abs(x - (values[n] as number))))
        t.ok(error < (name === "paper" ? 1.5e-6 : 4e-6), `${name}: ${each} ${error}`)
      }
      await step.close()
      await model.close()
    }
    t.equal((backend as { liveCount?: number }).liveCount ?? 0, 0, "everything is freed")
    backend.close()
  })
}

t.test("a model that does not move scores any number of texts at a time", async (t) => {
  const model = await LanguageModel.load(path, { backend: new JsBackend() })
  const scorer = new ReferenceScorer(model)
  const texts = pairs.slice(0, 2).flatMap(({ chosen, rejected }) => [chosen, rejected])
  const alone = await logProbsOf(scorer, model, texts.slice(0, 3), 1)
  const together = await logProbsOf(scorer, model, texts.slice(0, 3), 3)
  const [first, , third] = alone as [number, number, number]
  const mean = record.runs.sigmoid.steps[0].micro[0]["logps/chosen"]
  t.ok(Math.abs((first + third) / 2 - mean) < 2e-5 * Math.abs(mean), "the original's")
  t.ok(relativeError(together, alone) < 1e-6, "three as one by one")
  scorer.close()
  await model.close()
})

/** The mean of all logits where labels count. */
async function meanLogit(
  model: LanguageModel,
  texts: readonly PreferencePair["chosen"][],
): Promise<number> {
  const { vocabSize: V } = model.config
  let [sum, count] = [0, 0]
  for (const { ids, labels } of texts) {
    const logits = await model.logits([ids])
    for (let t = 0; t + 1 < ids.length; t++) {
      if (labels[t + 1] === -100) continue
      sum += logits.subarray(t * V, (t + 1) * V).reduce((x, y) => x + y, 0) / V
      count++
    }
  }
  return sum / count
}
