// What a model cannot be asked: one message with file and row, after all that comes before it.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import t, { type Test } from "tap"
import { evaluate, OpenELM, open, type Scorer, shippedModel } from "../index.ts"

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
