// `elm eval` from outside: tables and JSON, a log that is gone on with, shards put together, what Ctrl-C
// leaves; and comparisons of two evaluations.
import { execFileSync, spawn } from "node:child_process"
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ofSuite, planOf } from "../cli/line/evaluation.ts"
import { suiteText } from "../cli/terminal/evaluation.ts"
import { compareEvaluations, signTest } from "../eval/compare.ts"
import { openLog } from "../eval/log.ts"
import type { Sample } from "../eval/scoring.ts"
import { type Suite, scoresOf } from "../eval/suites.ts"
import { evaluate, type Scorer } from "../index.ts"
import { elm, endsOf, node } from "./command.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-eval-cli-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const at = (...names: string[]): string => join(dir, ...names)
const data = ["--data", fixture("eval/data")]
const few = ["--limit", "4", "--threads", "1", ...data]
const tasks = ["eval", "--tasks", "arc_easy,piqa", "--shots", "1", ...few]
const resultsIn = (folder: string) => JSON.parse(readFileSync(at(folder, "results.json"), "utf8"))

t.test("tables for a person, the original's JSON for a program, and a log", async (t) => {
  const { code, stdout, stderr } = await node(elm, ...tasks, "--out", at("whole"))
  t.equal(code, 0, stderr)
  t.match(stdout, /│ piqa +│ +1 │ none +│ +1 │ acc +│ [01]\.\d{4} │ +0\.\d{4} │/)
  t.match(stderr, /piqa\/validation.jsonl has 9 rows, the published validation split 1838/)
  const results = resultsIn("whole")
  t.same(JSON.parse(stdout.trimEnd().split("\n").at(-1) as string), results)
  t.match(results, { "n-shot": { arc_easy: 1 }, config: { model: "openelm", device: "wasm" } })
  const files = ["evaluation.json", "results.json", "samples_arc_easy.jsonl", "samples_piqa.jsonl"]
  t.same(readdirSync(at("whole")).sort(), files)
  t.equal(readFileSync(at("whole", "samples_piqa.jsonl"), "utf8").split("\n").length, 5)
})

t.test(
  "what was killed goes on with its log, and shards of two machines are the whole",
  async (t) => {
    const lines = readFileSync(at("whole", "samples_piqa.jsonl"), "utf8").split("\n")
    const log = await openLog(at("killed"), { resume: false })
    log.close()
    writeFileSync(at("killed", "samples_piqa.jsonl"), lines.slice(0, 3).join("\n"))
    const shard = (i: number) => [...tasks, "--out", at("both"), "--shard", `${i}/2`, "--resume"]
    const nothing = ["--model", at("no-model")]
    const runs = [
      [...tasks, "--out", at("killed"), "--resume"],
      shard(1),
      shard(2),
      [...tasks, "--out", at("both"), "--resume", "--json", at("merged.json"), ...nothing],
      [...tasks, "--out", at("whole"), ...nothing],
      ["eval", "--tasks", "boolq", ...data, "--out", at("whole"), "--resume", "--dtype", "q8"],
    ]
    const ends = await endsOf(runs)
    t.same(
      ends.map(({ code }) => code),
      [0, 0, 0, 0, 1, 1],
      ends.map(({ stderr }) => stderr).join(""),
    )
    t.match(ends[4]?.stderr, /has the log of an evaluation, samples_arc_easy.jsonl: resume it/)
    t.match(ends[1]?.stdout, /Partial: of these documents alone: arc_easy 2 of 4, piqa 2 of 4/)
    t.match(ends[5]?.stderr, /whole was begun with dtype missing, not "q8"/)
    const { config, ...want } = resultsIn("whole")
    t.same({ ...resultsIn("killed"), config: 0 }, { ...want, config: 0 })
    t.same({ ...resultsIn("both"), config: 0 }, { ...want, config: 0 }, "no model was opened")
    t.equal(readFileSync(at("killed", "samples_piqa.jsonl"), "utf8"), lines.join("\n"))
    t.equal(config.limit, 4)
  },
)

t.test(
  "a log takes a line of any length, loses one that is not whole, and is of one model",
  async (t) => {
    const sample = (doc_id: number, doc = {}) =>
      ({
        ...{ doc_id, doc, target: 0 },
        ...{ arguments: [], resps: [], filtered_resps: [] },
      }) as const
    const open = () => openLog(at("long"), { resume: true })
    const before = await open()
    await before.begin({ model: "a", adapter: undefined })
    const long = { text: "é".repeat(70_000) }
    before.append("x", sample(0, long))
    before.close()
    const file = at("long", "samples_x.jsonl")
    appendFileSync(file, JSON.stringify(sample(1, long)).slice(0, -3))
    const log = await open()
    log.append("x", sample(2))
    log.close()
    const kept: Sample[] = []
    for await (const each of log.previous("x")) kept.push(each)
    t.same(
      kept.map(({ doc_id }) => doc_id),
      [0, 2],
    )
    t.same(kept[0]?.doc, long)
    await t.rejects(log.begin({ model: "a", adapter: "b" }), {
      name: "RangeError",
      message: /long was begun with adapter missing, not "b"/,
    })
    t.same(readdirSync(at("long")).sort(), ["evaluation.json", "samples_x.jsonl"])
  },
)

t.test("Ctrl-C leaves a table of what there is, marked, and a log to go on with", async (t) => {
  const mmlu = ["eval", "--tasks", "mmlu", "--shots", "5", ...data, "--out", at("stopped")]
  const child = spawn(process.execPath, [elm, ...mmlu, "--threads", "1"])
  let stdout = ""
  child.stdout.on("data", (text) => {
    stdout += text
  })
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve))
  const begun = () =>
    readdirSync(dir).includes("stopped") &&
    readdirSync(at("stopped")).some((name) => /^samples/.test(name))
  while (!begun() && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 20))
  child.kill("SIGINT")
  t.equal(await ended, 130)
  t.match(stdout, /Partial: of these documents alone: /)
  const { partial } = resultsIn("stopped")
  t.ok(partial.mmlu_anatomy[0] < partial.mmlu_anatomy[1])
})

/** All answers are alike, so that the first is right. */
const indifferent: Scorer = {
  logLikelihood: async (pairs) => pairs.map(() => ({ logProb: -1, isGreedy: false })),
}

t.test("--paper evaluates what the suites share once, and fills each suite's row", async (t) => {
  const none = {
    suite: undefined,
    tasks: undefined,
    demo: undefined,
    shots: undefined,
    out: undefined,
    resume: undefined,
  }
  const rest = { limit: undefined, shard: undefined, data: undefined }
  const { parts, shown } = planOf({ ...none, ...rest, paper: true })
  t.same(
    parts.map(({ name, tasks }) => [name, tasks.length]),
    [
      ["zero-shot", 7],
      ["few-shot", 7],
    ],
  )
  const done = parts.flatMap(({ tasks, shots = {} }) =>
    tasks.map((task) => `${task} ${typeof shots === "object" ? shots[task] : shots}`),
  )
  t.equal(new Set(done).size, 14)
  for (const { columns } of shown) {
    for (const { task, shots } of columns) t.ok(done.includes(`${task} ${shots}`), task)
  }
  t.match(suiteText(shown[1] as Suite, "mine", {}, true), /OLMo-1.2B .* 43\.57 │\n/)
  const found = await Promise.all(
    parts.map(({ tasks, shots = {} }) => evaluate(indifferent, { tasks, shots, data: data[1] })),
  )
  for (const suite of shown) {
    const { scores, average } = scoresOf(suite, ofSuite(suite, parts, found))
    t.notOk(scores.includes(undefined), suite.name)
    t.type(average, "number")
  }
})

t.test(
  "--demo needs nothing, and the package's model knows English from what is none",
  async (t) => {
    const { code, stdout, stderr } = await node(elm, "eval", "--demo", "--threads", "1")
    t.equal(code, 0, stderr)
    t.equal(stderr, "")
    const { parts, averages } = JSON.parse(stdout.trimEnd().split("\n").at(-1) as string)
    t.ok(parts.own.results.agreement["acc,none"] > 0.8)
    t.equal(Object.keys(parts["zero-shot"].results).length, 7)
    t.type(averages["zero-shot"], "number")
  },
)

t.test("a group is compared by the documents of all of its tasks", async (t) => {
  const tasks: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
    few: [[0, 1]],
    many: Array.from({ length: 9 }, () => [1, 0] as const),
  }
  const entry = { "acc,none": 0, "acc_stderr,none": 0 }
  const named = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, entry]))
  const results = {
    results: named(["all", "part", ...Object.keys(tasks)]),
    groups: named(["all", "part"]),
    group_subtasks: { all: ["part", "few"], part: ["many"] },
  }
  for (const [i, folder] of ["one", "two"].entries()) {
    execFileSync("mkdir", ["-p", at(folder)])
    writeFileSync(at(folder, "results.json"), JSON.stringify(results))
    for (const [task, pairs] of Object.entries(tasks)) {
      const lines = pairs.map((pair, doc_id) =>
        JSON.stringify({ doc_id, doc: {}, arguments: [], resps: [], acc: pair[i] }),
      )
      writeFileSync(at(folder, `samples_${task}.jsonl`), `${lines.join("\n")}\n`)
    }
  }
  const found = await compareEvaluations(at("one"), at("two"), { seed: 0, iterations: 100 })
  t.same(
    found.map(({ task, documents, difference }) => [task, documents, difference]),
    [
      ["few", 1, 1],
      ["many", 9, -1],
      ["all", 10, -0.8],
    ],
    "a group of one has the numbers of that",
  )
})

t.test("two evaluations are compared document by document", async (t) => {
  const results = { results: { x: { "acc,none": 0, "acc_stderr,none": 0, alias: "x" } } }
  const made = (name: string, scores: readonly number[]): string => {
    const samples = scores.map((acc, doc_id) => ({
      ...{ doc_id, doc: { id: doc_id }, arguments: [], resps: [], acc },
    }))
    execFileSync("mkdir", ["-p", at(name)])
    writeFileSync(at(name, "results.json"), JSON.stringify(results))
    writeFileSync(
      at(name, "samples_x.jsonl"),
      samples.map((each) => `${JSON.stringify(each)}\n`).join(""),
    )
    return at(name)
  }
  const first = made("a", [1, 0, 0, 0, 1, 0, 0, 0])
  const second = made("b", [0, 1, 1, 1, 1, 1, 0, 1])
  const [found] = await compareEvaluations(first, join(second, "results.json"), {
    seed: 1,
    iterations: 500,
  })
  t.match(found, {
    task: "x",
    metric: "acc,none",
    documents: 8,
    first: 0.25,
    second: 0.75,
    difference: 0.5,
  })
  t.match(found, { onlyFirst: 1, onlySecond: 5 })
  t.ok(Math.abs((found?.mcnemar as number) - 14 / 64) < 1e-12)
  // The deviation of [-1, 1, 1, 1, 0, 1, 0, 1] over the root of 8.
  t.ok(Math.abs((found?.error as number) - Math.sqrt(4 / 7 / 8)) < 1e-12)
  t.ok(
    (found?.low as number) < 0.25 &&
      (found?.high as number) > 0.75 &&
      (found?.low as number) >= -0.25,
  )
  t.ok(Math.abs(signTest(480, 520) - 0.2174) < 1e-4, "binom.test(480, 1000) of R is 0.2174")
  const { code, stdout } = await node(elm, "eval", "compare", first, second, "--seed", "1")
  t.equal(code, 0)
  t.match(stdout, /│ x +│ acc +│ +8 │ 0\.2500 │ 0\.7500 │ +\+0\.5000 │ +0\.2673 │/)
  writeFileSync(
    at("b", "samples_x.jsonl"),
    '{"doc_id":0,"doc":{"id":7},"arguments":[],"resps":[],"acc":1}\n',
  )
  await t.rejects(
    compareEvaluations(first, second, { seed: 1, iterations: 5 }),
    /x: document 0 of the two is not/,
  )
  appendFileSync(at("b", "samples_x.jsonl"), "{\n")
  await t.rejects(compareEvaluations(first, second, { seed: 1, iterations: 5 }), {
    name: "SyntaxError",
    message: /samples_x.jsonl line 2 is not JSON/,
  })
})

t.test("wrong usage exits with 2, other errors with 1", async (t) => {
  const cases: readonly [string[], number, RegExp][] = [
    [["eval"], 2, /give --tasks, --suite or --paper/],
    [["eval", "--suite", "glue"], 2, /Allowed choices are zero-shot, openllm, llm360, commonsense/],
    [["eval", "--demo", "--tasks", "piqa"], 2, /--demo does not go with/],
    [["eval", "--suite", "openllm", "--tasks", "piqa"], 2, /--tasks does not go with/],
    [["eval", "--suite", "openllm", "--shots", "3"], 2, /--shots needs --tasks/],
    [["eval", "--tasks", "piqa", "--shots", "piqa"], 2, /whole number from 0 to 1000/],
    [["eval", "--tasks", "piqa", "--shard", "3/2"], 2, /NUMBER\/OF/],
    [["eval", "--tasks", "piqa", "--limit", "0"], 2, /a number above 0/],
    [["eval", "--tasks", "piqa", "--resume"], 2, /--resume needs --out/],
    [["eval", "--tasks", "pica", ...data], 1, /There is no task "pica"\. There are: arc_challenge/],
    [["eval", "--tasks", "piqa", "--data", dir], 1, /piqa: there is no piqa\/validation.jsonl/],
    [["eval", "--tasks", "piqa"], 1, /give the folder/],
    [["eval", "compare", dir, dir], 1, /results.json/],
    [["eval", "compare", at("a"), at("whole")], 1, /no task in common/],
  ]
  const ends = await endsOf(cases.map(([line]) => line))
  for (const [i, [line, code, message]] of cases.entries()) {
    t.equal(ends[i]?.code, code, line.join(" "))
    t.match(ends[i]?.stderr, message, line.join(" "))
  }
})
