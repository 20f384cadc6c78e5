// What a model cannot be asked: one message with file and row, after all that comes before it.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { planOf } from "../eval/plan.ts"
import { allTasks } from "../eval/tasks/index.ts"
import { evaluate, OpenELM, open, type Scorer, shippedModel } from "../index.ts"
import t, { type Test } from "./tap.ts"

/** A folder with one file. */
function folder(t: Test, name: string, content: string): string {
  const root = t.testdir()
  mkdirSync(dirname(join(root, name)), { recursive: true })
  writeFileSync(join(root, name), content)
  return root
}

t.test("what a model cannot be asked is said with file and row, after all before it", async (t) => {
  const row = (sol2: string) => JSON.stringify({ goal: "Go", sol1: "a", sol2, label: 0 })
  const data = folder(
    t,
    "piqa/validation.jsonl",
    [row("b"), row("c"), row("d ".repeat(300))].join("\n"),
  )
  const backend = await open("wasm", { threads: 1 })
  t.teardown(() => backend.close())
  await using model = await OpenELM.load(await shippedModel(), { backend })
  const seen: number[] = []
  await t.rejects(
    evaluate(model, {
      ...{ tasks: ["piqa"], data, requestsAtOnce: 1 },
      onSample: (_, { doc_id }) => void seen.push(doc_id),
    }),
    {
      name: "RangeError",
      message:
        /validation\.jsonl row 3: piqa, request 2 of 2: a continuation of \d+ tokens is longer than the model's window of 256$/,
    },
  )
  t.same(seen, [0, 1])
})

t.test("labels and texts of ARC are as many", async (t) => {
  const choices = { text: ["a", "b"], label: ["A"] }
  const row = JSON.stringify({ id: "1", question: "q", choices, answerKey: "A" })
  const scorer: Scorer = { logLikelihood: () => Promise.reject(new Error("asked")) }
  const data = folder(t, "arc_easy/test.jsonl", row)
  await t.rejects(evaluate(scorer, { tasks: ["arc_easy"], data }), {
    message: /test\.jsonl row 1: column choices is .*, expected as many labels as texts/,
  })
})

t.test(
  "a subject without rows is left out of a suite, and named where it was asked for",
  async (t) => {
    const row = (subject: string) =>
      JSON.stringify({ question: "q", subject, choices: ["a", "b", "c", "d"], answer: 1 })
    const data = folder(t, "mmlu/test.jsonl", [row("anatomy"), row("virology")].join("\n"))
    const scorer: Scorer = {
      logLikelihood: async (pairs) => pairs.map(() => ({ logProb: -1, isGreedy: false })),
    }
    const left: string[] = []
    const asked = { tasks: ["mmlu"], data, shots: 0 }
    const { results, configs } = await evaluate(scorer, {
      ...asked,
      onMissing: (task) => void left.push(task),
    })
    t.equal(left.length, 55)
    t.same(Object.keys(configs), ["mmlu_anatomy", "mmlu_virology"])
    t.ok(Number.isFinite(results.mmlu?.["acc,none"]), "of those that are there")
    t.match(
      configs.mmlu_anatomy?.doc_to_text,
      /^\{\{question\.strip\(\)\}\}\nA\. \{\{choices\[0\]\}\}/,
    )
    await t.rejects(evaluate(scorer, asked), {
      message: /mmlu_\w+: .*test\.jsonl has no rows of it. Add them, or leave the task out/,
    })
  },
)

t.test("what tasks of the package say of themselves is no program of this one", (t) => {
  for (const { name, config = {} } of planOf(allTasks).tasks) {
    const { doc_to_text, doc_to_target, doc_to_choice } = config
    for (const shown of [doc_to_text, doc_to_target, doc_to_choice].flat()) {
      t.notMatch(String(shown), /=>|function|\$\{|undefined/, name)
    }
  }
  t.end()
})
