// Tasks as the original's YAML files have them, beside those that are here in code.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type EvaluationSample, evaluate, type Scorer } from "../index.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-yaml-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const write = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content)
  return join(dir, name)
}

t.test("the original's own files ask what its tasks here ask", async (t) => {
  const arc = `
group: [ai2_arc]
dataset_path: allenai/ai2_arc
dataset_name: ARC-Easy
output_type: multiple_choice
training_split: train
validation_split: validation
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
should_decontaminate: true
doc_to_decontamination_query: "Question: {{question}}\\nAnswer:"
metric_list:
  - { metric: acc, aggregation: mean, higher_is_better: true }
  - { metric: acc_norm, aggregation: mean, higher_is_better: true }
metadata: { version: 1.0 }
`
  const sciq = `
dataset_path: sciq
output_type: multiple_choice
training_split: train
validation_split: validation
test_split: test
doc_to_text: "{{support.lstrip()}}\\nQuestion: {{question}}\\nAnswer:"
doc_to_target: 3
doc_to_choice: "{{[distractor1, distractor2, distractor3, correct_answer]}}"
metadata: { version: 1.0 }
`
  const boolq = `
dataset_path: super_glue
dataset_name: boolq
output_type: multiple_choice
training_split: train
validation_split: validation
doc_to_text: "{{passage}}\\nQuestion: {{question}}?\\nAnswer:"
doc_to_target: label
doc_to_choice: ["no", "yes"]
metric_list: [{ metric: acc }]
metadata: { version: 2.0 }
`
  const piqa = `
dataset_path: piqa
dataset_kwargs: { trust_remote_code: true }
output_type: multiple_choice
training_split: train
validation_split: validation
test_split: null
doc_to_text: "Question: {{goal}}\\nAnswer:"
doc_to_target: label
doc_to_choice: "{{[sol1, sol2]}}"
metadata: { version: 1.0 }
`
  const scorer: Scorer = {
    logLikelihood: async (asked) =>
      asked.map(({ context, continuation }) => ({
        logProb: -((context.length * 7 + continuation.length * 13) % 101),
        isGreedy: false,
      })),
  }
  for (const [name, yaml] of Object.entries({ arc_easy: arc, sciq, boolq, piqa })) {
    const run = async (task: string) => {
      const samples: EvaluationSample[] = []
      const options = { shots: name === "boolq" ? 0 : 1, data: fixture("eval/data") }
      const onSample = (_: string, sample: EvaluationSample) => void samples.push(sample)
      const { configs, ...rest } = await evaluate(scorer, { tasks: [task], onSample, ...options })
      return { samples, ...rest }
    }
    const own = write(`${name}.yaml`, `task: ${name}\n${yaml}`)
    t.same(await run(own), await run(name), name)
  }
})
