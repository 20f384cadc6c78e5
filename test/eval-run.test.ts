// An evaluation on its way: order, limits, what is left after an earlier log, shards, batches, aborting;
// options and answers that make no sense.

import { openEvaluation } from "../eval/evaluate.ts"
import { paperModels } from "../eval/paper.ts"
import { optionsOf, scoresOf, suites } from "../eval/suites.ts"
import {
  type EvaluateOptions,
  evaluate,
  multipleChoice,
  type EvaluationSample as Sample,
  type Scorer,
  type Task,
} from "../index.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const data = fixture("eval/data")

/** Longer texts are less likely. */
const scorer: Scorer = {
  logLikelihood: async (pairs) =>
    pairs.map(({ context, continuation }) => ({
      logProb: -(context.length % 7) - continuation.length / 10,
      isGreedy: false,
    })),
}

/** A task of so many rows, whose answer is always the first. */
const rows = (name: string, count: number): Task =>
  multipleChoice({
    name,
    source: {
      splits: { test: "test", training: "train" },
      rows: {
        test: Array.from({ length: count }, (_, i) => ({ id: i, choices: ["a", "bb"] })),
        train: Array.from({ length: 4 }, (_, i) => ({ id: 100 + i, choices: ["a", "bb"] })),
      },
      read: (row) => row as { readonly id: number; readonly choices: readonly string[] },
    },
    text: ({ id }) => `Number ${id}:`,
    choices: ({ choices }) => choices,
    gold: () => 0,
    columns: { choices: "choices", gold: "id" },
    metrics: ["acc"],
  })

const options: EvaluateOptions = { tasks: ["arc_easy", "piqa"], shots: 2, data }

async function logged(more: Partial<EvaluateOptions> = {}, model = scorer) {
  const samples: [task: string, sample: Sample][] = []
  const evaluation = await openEvaluation({
    ...options,
    onSample: (task, sample) => void samples.push([task, JSON.parse(JSON.stringify(sample))]),
    ...more,
  })
  await evaluation.run(model)
  return { samples, results: evaluation.results() }
}

t.test(
  "batches change nothing, the last task comes first, and progress counts documents",
  async (t) => {
    const whole = await logged()
    const seen: string[] = []
    const small = await logged({
      requestsAtOnce: 1,
      onProgress: ({ task, done, of, allDone, allOf }) =>
        seen.push(`${task} ${done}/${of} ${allDone}/${allOf}`),
    })
    t.same(small, whole)
    t.equal(seen[0], "piqa 0/9 0/18")
    t.equal(seen.at(-1), "arc_easy 9/9 18/18")
    t.equal(seen.length, 20)
    t.same(Object.keys(whole.results.results), ["piqa", "arc_easy"])
    t.notOk(whole.results.partial)
  },
)

t.test(
  "limits are the original's: below 1 the first task's part is all tasks' number",
  async (t) => {
    const tasks = [rows("long", 10), rows("short", 3)]
    const countsOf = async (limit: number): Promise<unknown> => {
      const { samples } = await logged({ tasks, limit, shots: 0 })
      return tasks.map(({ name }) => samples.filter(([task]) => task === name).length)
    }
    t.same(await countsOf(0.5), [2, 2])
    t.same(await countsOf(1), [1, 1])
    t.same(await countsOf(5.9), [5, 3])
    const few = await logged({ limit: 3 })
    const all = await logged()
    t.same(few.samples.slice(0, 3), all.samples.slice(0, 3), "draws do not depend on it")
  },
)

t.test("what was interrupted goes on where it was, and the whole is the same", async (t) => {
  const whole = await logged()
  const controller = new AbortController()
  const first: [string, Sample][] = []
  const stopped = await openEvaluation({
    ...options,
    requestsAtOnce: 4,
    signal: controller.signal,
    onSample(task, sample) {
      first.push([task, JSON.parse(JSON.stringify(sample))])
      if (first.length === 11) controller.abort(new Error("stop"))
    },
  })
  await t.rejects(stopped.run(scorer), /^stop$/)
  t.ok(first.length > 10 && first.length < 18)
  t.same(Object.values(stopped.results().partial ?? {}), [[first.length - 9, 9]])
  const previous = (task: string) => first.flatMap(([of, sample]) => (of === task ? [sample] : []))
  const rest = await logged({ previous })
  t.same([...first, ...rest.samples], whole.samples)
  t.same(rest.results, whole.results)
  await t.rejects(logged({ previous, shots: 1 }), {
    name: "RangeError",
    message: /^the log of piqa asks something else about document 0/,
  })
})

t.test("a call that is ended keeps the documents whose answers are all there", async (t) => {
  const ids: number[] = []
  // Of two choices each: both of documents 2 and 0, one of document 1.
  const answered = [4, 5, 0, 3, 1]
  const halting: Scorer = {
    async logLikelihood(_, { onAnswer } = {}) {
      for (const i of answered) onAnswer?.(i, { logProb: -i, isGreedy: false })
      throw new Error("the machine stops")
    },
  }
  const evaluation = await openEvaluation({
    tasks: [rows("mine", 5)],
    onSample: (_, { doc_id }) => void ids.push(doc_id),
  })
  await t.rejects(evaluation.run(halting), /the machine stops/)
  t.same(ids, [0, 2], "in their order")
  t.same(evaluation.results().partial, { mine: [2, 5] })
})

t.test("few long documents are asked about at a time, or many short ones", async (t) => {
  const calls: number[] = []
  const counting: Scorer = {
    logLikelihood(pairs) {
      calls.push(pairs.length)
      return scorer.logLikelihood(pairs)
    },
  }
  const long = { ...rows("long", 20), description: () => "x".repeat(2 ** 13) }
  await evaluate(counting, { tasks: [long, rows("short", 300)] })
  t.same(calls, [256, 256, 88, ...Array.from({ length: 5 }, () => 8)])
})

t.test("shards together are the whole", async (t) => {
  const whole = await logged()
  const parts = [0, 1, 2].map((index) => logged({ shard: { index, of: 3 } }))
  const samples = (await Promise.all(parts)).flatMap((part) => part.samples)
  t.equal(samples.length, 18)
  const nothing: Scorer = { logLikelihood: () => Promise.reject(new Error("asked again")) }
  const previous = (task: string) =>
    samples.flatMap(([of, sample]) => (of === task ? [sample] : []))
  t.same((await logged({ previous }, nothing)).results, whole.results)
})

t.test("shots are one number, or by task and group; a task's own 0 stays", async (t) => {
  const tasks = ["arc_easy", "mmlu", "truthfulqa_mc2"]
  const { results } = await logged({
    tasks,
    shots: { mmlu: 1, mmlu_anatomy: 2, truthfulqa_mc2: 3 },
  })
  const { arc_easy, mmlu_virology, mmlu_anatomy, truthfulqa_mc2 } = results["n-shot"]
  t.same([arc_easy, mmlu_virology, mmlu_anatomy, truthfulqa_mc2], [0, 1, 2, 0])
})

t.test("wrong options, data and answers are one message", async (t) => {
  const cases: readonly (readonly [Partial<EvaluateOptions>, string, RegExp, Scorer?])[] = [
    [{ tasks: ["arc"] }, "RangeError", /^There is no task "arc"\. There are: arc_challenge, /],
    [{ tasks: [] }, "RangeError", /expected one or more/],
    [{ tasks: [{ name: "x" } as Task] }, "TypeError", /is no task/],
    [{ limit: 0 }, "RangeError", /^limit is 0/],
    [{ limit: Number.NaN }, "RangeError", /^limit is NaN/],
    [{ shots: { boolq: 1 } }, "RangeError", /no task "boolq" here/],
    [{ shots: -1 }, "RangeError", /^shots is -1/],
    [{ shots: 30 }, "RangeError", /^piqa with 30 shots draws 31 examples, of which there are \d+$/],
    [{ shard: { index: 2, of: 2 } }, "RangeError", /^shard.index is 2/],
    [{ tasks: [rows("x", 1), rows("x", 2)] }, "RangeError", /^tasks: two are named "x"/],
    [{ data: "nowhere" }, "Error", /^data: nowhere is not there\. Give the folder of the data$/],
    [{ data: fixture("eval/units.json") }, "Error", /units.json is no folder/],
    [{ tasks: ["boolq"], data: fixture("eval") }, "Error", /^boolq: there is no boolq\/validation/],
    [{}, "TypeError", /gave \[\], expected \d+ answers/, { logLikelihood: async () => [] }],
    [
      {},
      "TypeError",
      /gave \{"logProb":null/,
      {
        logLikelihood: async (all) => all.map(() => ({ logProb: Number.NaN, isGreedy: true })),
      },
    ],
  ]
  for (const [more, name, message, model = scorer] of cases) {
    await t.rejects(logged(more, model), { name, message }, String(message))
  }
  await t.rejects(evaluate({} as Scorer, options), {
    name: "TypeError",
    message: /no logLikelihood/,
  })
  await t.rejects(logged({ tasks: ["arc_easy"], data: undefined as never }), /give the folder/)
})

t.test("the average of every row of tables 4 and 5 is the printed one", (t) => {
  const rows = paperModels.flatMap(({ name, suites: own }) =>
    suites.flatMap((suite) => {
      const printed = own[suite.name]
      return printed && printed.scores.length > 0 ? [{ name, suite, printed }] : []
    }),
  )
  t.equal(rows.length, 24)
  for (const { name, suite, printed } of rows) {
    const { columns } = suite
    t.equal(printed.scores.length, columns.length)
    const results = columns.map(({ task, metric }, i) => {
      return [
        task,
        { alias: task, [`${metric},none`]: (printed.scores[i] as number) / 100 },
      ] as const
    })
    const found = scoresOf(suite, Object.fromEntries(results))
    t.ok(Math.abs((found.average as number) - printed.average) < 0.01, `${name} ${suite.name}`)
    t.equal(scoresOf(suite, Object.fromEntries(results.slice(1))).average, undefined)
  }
  t.end()
})

t.test("suites evaluate their tasks with their shots", async (t) => {
  for (const suite of suites.filter(({ name }) => name !== "commonsense")) {
    const { results } = await logged(optionsOf(suite))
    t.same(
      Object.values(results["n-shot"]).some((shots) => shots > 0),
      suite.name !== "zero-shot",
    )
    const { scores } = scoresOf(suite, results.results)
    t.ok(
      scores.every((score) => score !== undefined),
      suite.name,
    )
  }
})
