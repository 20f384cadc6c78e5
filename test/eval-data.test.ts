// The data of tasks: every form in which it is published, and what is said of rows, files and folders that
// are wrong.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type EvaluateOptions, evaluate, type Scorer } from "../index.ts"
import { rowsOf } from "../model/files/rows.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-eval-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const from = (name: string): string => fixture(`eval/data/${name}`)
const linesOf = (name: string): string[] => readFileSync(from(name), "utf8").trim().split("\n")

let folders = 0
/** A new folder with these files. */
function folder(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = join(dir, String(folders++))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
  }
  return root
}

const scorer: Scorer = {
  logLikelihood: async (pairs) =>
    pairs.map(({ context, continuation }) => ({
      logProb: -(context.length % 7) - continuation.length / 10,
      isGreedy: false,
    })),
}

async function evaluated(data: string, more: Partial<EvaluateOptions> = {}) {
  const notices: string[] = []
  const results = await evaluate(scorer, {
    tasks: ["arc_challenge"],
    data,
    onNotice: (text) => notices.push(text),
    ...more,
  })
  return { results: results.results, notices }
}

t.test("Parquet holds the rows of the lines", async (t) => {
  for (const name of [
    "arc_challenge/test",
    "arc_challenge/train",
    "hellaswag/validation",
    "piqa/validation",
  ]) {
    t.same(await rowsOf(from(`${name}.parquet`)), await rowsOf(from(`${name}.jsonl`)), name)
  }
})

t.test("every layout gives the same", async (t) => {
  const { results } = await evaluated(fixture("eval/data"))
  const lines = linesOf("arc_challenge/test.jsonl")
  const parquet = readFileSync(from("arc_challenge/test.parquet"))
  const cache = "datasets--allenai--ai2_arc"
  const half = (from: number, to: number) => lines.slice(from, to).join("\n")
  const layouts: readonly Readonly<Record<string, string | Uint8Array>>[] = [
    { "arc_challenge/test.parquet": parquet },
    { "arc_challenge/test.json": `[${lines.join(",\n")}]` },
    { "arc_challenge/test.json": `\n${lines.join("\r\n\n")}\n` },
    {
      "arc_challenge/test-00000-of-00002.jsonl": half(0, 3),
      "arc_challenge/test-00001-of-00002.jsonl": half(3, 99),
    },
    {
      [`${cache}/refs/main`]: "abc",
      [`${cache}/snapshots/000/ARC-Challenge/test-00000-of-00001.parquet`]: "another",
      [`${cache}/snapshots/abc/ARC-Challenge/test-00000-of-00001.parquet`]: parquet,
    },
    { "allenai/ai2_arc/ARC-Challenge/test/0000.parquet": parquet },
    { "ai2_arc/data/test.jsonl": lines.join("\n") },
  ]
  for (const [i, files] of layouts.entries()) {
    t.same((await evaluated(folder(files))).results, results, `layout ${i}`)
  }
  const crows = "BigScienceBiasEval/crows_pairs_multilingual/test_EN.jsonl"
  const pairs = await evaluated(
    folder({ [crows]: linesOf("crows_pairs_english/test.jsonl").join("\n") }),
    {
      tasks: ["crows_pairs_english"],
    },
  )
  t.ok(pairs.results.crows_pairs_english?.["pct_stereotype,none"])
  const virology = linesOf("mmlu/test.jsonl").filter((line) => line.includes('"virology"'))
  const subject = folder({ "hails/mmlu_no_train/virology/test.jsonl": virology.join("\n") })
  t.same((await evaluated(subject, { tasks: ["mmlu_virology"] })).notices, [])
})

t.test("another number of rows than was published is said, once", async (t) => {
  const { notices } = await evaluated(fixture("eval/data"), { tasks: ["mmlu", "piqa"], limit: 1 })
  t.equal(notices.length, 2)
  t.match(
    notices[0],
    /piqa\/validation.jsonl has 9 rows, the published validation split 1838: scores/,
  )
  t.match(notices[1], /mmlu\/test.jsonl has \d+ rows, the published test split 14042/)
})

t.test("a suite's tasks whose files are not there are left out, and said", async (t) => {
  const root = folder({})
  cpSync(from("piqa"), join(root, "piqa"), { recursive: true })
  const missing: string[] = []
  const onMissing = (task: string, message: string) => missing.push(`${task} | ${message}`)
  const { results } = await evaluated(root, { tasks: ["boolq", "piqa"], onMissing })
  t.same(Object.keys(results), ["piqa"])
  t.match(
    missing.join(),
    /^boolq \| boolq: there is no boolq\/validation.jsonl, .json or .parquet in/,
  )
  await t.rejects(evaluated(root, { tasks: ["boolq"], onMissing }), /no data of any task in/)
})

const arc = {
  id: "q",
  question: "why",
  choices: { text: ["a", "b"], label: ["A", "B"] },
  answerKey: "B",
}
const hella = { activity_label: "x", ctx_a: "a", ctx_b: "b", endings: ["c", "d"], label: "1" }
const without = (row: object, column: string) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => name !== column))

t.test("a row that is wrong is named with its file, its number and its column", async (t) => {
  const cases: readonly (readonly [
    task: string,
    split: string,
    row: unknown,
    kind: string,
    message: string,
  ])[] = [
    [
      "arc_easy",
      "test",
      without(arc, "question"),
      "RangeError",
      'column question is missing; there are "id", "choices", "answerKey"',
    ],
    [
      "arc_easy",
      "test",
      { ...arc, question: 3 },
      "TypeError",
      "column question is 3, expected a text",
    ],
    [
      "arc_easy",
      "test",
      { ...arc, answerKey: "C" },
      "RangeError",
      'column answerKey is "C", expected the label of one of 2 choices',
    ],
    [
      "arc_easy",
      "test",
      { ...arc, choices: { text: [], label: [] } },
      "RangeError",
      "column choices.text is [], expected one choice or more",
    ],
    [
      "arc_easy",
      "test",
      { ...arc, choices: { text: ["a", null], label: ["A", "B"] } },
      "TypeError",
      "column choices.text[1] is null, expected a text",
    ],
    ["arc_easy", "test", [1], "TypeError", "is [1], expected an object"],
    [
      "hellaswag",
      "validation",
      { ...hella, label: "2" },
      "RangeError",
      'column label is "2", expected the label of one of 2 choices',
    ],
    [
      "hellaswag",
      "validation",
      { ...hella, label: "" },
      "RangeError",
      'column label is "", expected',
    ],
    [
      "boolq",
      "validation",
      { question: "q", passage: "p", label: 1.5 },
      "RangeError",
      "column label is 1.5, expected a whole number",
    ],
    [
      "winogrande",
      "validation",
      { sentence: "no blank", option1: "a", option2: "b", answer: "1" },
      "RangeError",
      'column sentence is "no blank", expected a text with a blank, _',
    ],
    [
      "truthfulqa_mc2",
      "validation",
      { question: "q", mc2_targets: { choices: ["a"], labels: [1] } },
      "RangeError",
      "column mc2_targets.labels is [1], expected labels with a 0",
    ],
    [
      "race",
      "test",
      { article: "a", problems: "[{'question'" },
      "SyntaxError",
      "column problems is not a literal of Python",
    ],
    [
      "race",
      "test",
      { article: "a", problems: "[]" },
      "RangeError",
      "column problems is [], expected one problem or more",
    ],
    [
      "race",
      "test",
      {
        article: "a",
        problems: "[{'question': 'q', 'answer': 'E', 'options': ['a', 'b', 'c', 'd']}]",
      },
      "RangeError",
      'column problems[0].answer is "E", expected A, B, C or D',
    ],
    [
      "commonsense_piqa",
      "test",
      { instruction: "no format", input: "", answer: "solution1" },
      "RangeError",
      "column instruction is [], expected one choice or more",
    ],
  ]
  for (const [task, split, row, name, message] of cases) {
    const name_ = task.replace("commonsense_", "")
    const data = folder({ [`${name_}/${split}.jsonl`]: `\n${JSON.stringify(row)}\n` })
    const error = await evaluated(data, { tasks: [task] }).catch((thrown: Error) => thrown)
    t.match(error, { name }, message)
    t.equal(
      (error as Error).message.startsWith(`${data}/${name_}/${split}.jsonl row 2`),
      true,
      String(error),
    )
    t.equal((error as Error).message.includes(message), true, `${error} says ${message}`)
  }
})

t.test("files that are damaged or odd are one message", async (t) => {
  const parquet = readFileSync(from("piqa/validation.parquet"))
  const damaged = Uint8Array.from(parquet)
  damaged.fill(0xff, 4, 24)
  const cases: readonly (readonly [
    name: string,
    content: string | Uint8Array,
    kind: string,
    message: RegExp,
  ])[] = [
    ["validation.jsonl", '{"goal": "a"', "SyntaxError", /validation.jsonl row 1 is not JSON/],
    ["validation.jsonl", "\n\n", "RangeError", /validation.jsonl has no rows/],
    ["validation.jsonl", Uint8Array.of(0x22, 0xff), "SyntaxError", /is not UTF-8 text/],
    ["validation.json", '[{"goal"', "SyntaxError", /validation.json is not JSON/],
    [
      "validation.parquet",
      parquet.subarray(0, 800),
      "SyntaxError",
      /validation.parquet: it does not end as/,
    ],
    ["validation.parquet", damaged, "SyntaxError", /validation.parquet rows 1 to 5 are damaged/],
    [
      "validation-00000-of-00002.jsonl",
      "{}",
      "Error",
      /has 1 of the 2 parts of validation-00000-of-00002/,
    ],
  ]
  for (const [name, content, kind, message] of cases) {
    const data = folder({ [`piqa/${name}`]: content })
    await t.rejects(evaluated(data, { tasks: ["piqa"] }), { name: kind, message }, `${message}`)
  }
})
