// The parts of tasks that Python's ways decide, against what the original's functions gave: its generator,
// white space, capitals, literals; choices and their scores; standard errors.

import { multipleChoice } from "../eval/kinds/multiple_choice.ts"
import { aggregate, pooled } from "../eval/metrics.ts"
import { encodedPair } from "../eval/scorer.ts"
import { crowsPairsEnglish } from "../eval/tasks/crows_pairs_english.ts"
import { withoutMarks } from "../eval/tasks/hellaswag.ts"
import { mmlu } from "../eval/tasks/mmlu.ts"
import { race } from "../eval/tasks/race.ts"
import { sciq } from "../eval/tasks/sciq.ts"
import { truthfulqaMc2 } from "../eval/tasks/truthfulqa_mc2.ts"
import { winogrande } from "../eval/tasks/winogrande.ts"
import type { Document, Group, Task } from "../eval/types.ts"
import { loadTokenizer } from "../model/index.ts"
import { parseLiteral } from "../model/python/literal.ts"
import { PythonRandom } from "../model/python/random.ts"
import { capitalize, strip } from "../model/python/text.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

const seedOf = (seed: number | string): number | bigint =>
  typeof seed === "string" ? BigInt(seed) : seed

t.test("draws are Python's, on both sides of every switch of sample", (t) => {
  const golden = fixtureJson("eval/python_random.json")
  for (const { seed, getrandbits32: words, random: uniforms, ...rest } of golden.raw) {
    const made = () => new PythonRandom(seedOf(seed))
    const [first, second] = [made(), made()]
    t.same(
      words.map(() => first.bits(32)),
      words,
      `${seed} words`,
    )
    t.same(
      uniforms.map(() => second.uniform()),
      uniforms,
      `${seed} uniform`,
    )
    const wide = rest.getrandbits_1_5_17_31_32_33_53_64.map(Number).slice(0, -1)
    const third = made()
    t.same(
      [1, 5, 17, 31, 32, 33, 53].map((count) => third.bits(count)),
      wide,
      `${seed} bits`,
    )
  }
  for (const { seed, n, k, out } of golden.sample) {
    t.same(new PythonRandom(seedOf(seed)).sample(n, k), out, `sample ${seed} ${n} ${k}`)
  }
  for (const { seed, n, k, calls } of golden.sequence) {
    const random = new PythonRandom(seedOf(seed))
    // The original shows as many of them as it used.
    for (const call of calls) t.same(random.sample(n, k).slice(0, call.length), call)
  }
  const below = new PythonRandom(1234)
  for (const { n, out } of golden.randbelow) t.equal(below.below(n), out, `below ${n}`)
  for (const { seed, n, out } of golden.shuffle) {
    const list = Array.from({ length: n }, (_, i) => i)
    new PythonRandom(seedOf(seed)).shuffle(list)
    t.same(list, out)
  }
  t.throws(() => new PythonRandom(1).sample(3, 4), /4 are to be drawn of 3/)
  t.end()
})

const units = fixtureJson("eval/units.json")

t.test("texts are changed as Python changes them", (t) => {
  for (const [text, want] of units.hellaswag_preprocess) t.equal(withoutMarks(text), want)
  for (const [text, want] of units.capitalize) t.equal(capitalize(text), want)
  // Printed by Python 3.11, beside the original's.
  for (const [text, want] of [
    ["ᾳΣ", "ᾼς"],
    ["ŉA", "ʼNa"],
    ["აბ", "აბ"],
    ["ᾲX", "Ὰͅx"],
  ] as const) {
    t.equal(capitalize(text), want)
  }
  t.equal(strip("\u001c a \u2003b\ufeff\u0085\n"), "a \u2003b\ufeff")
  t.end()
})

/** What a task makes of log-likelihoods of a row's choices. */
const score = (task: Task, row: Document, values: readonly number[]) => task.score(row, lls(values))
const lls = (values: readonly number[]) => values.map((logProb) => ({ logProb, isGreedy: false }))

const targetOf = (task: Task, row: Document) => task.target(task.source.read(row) as Document)

/** The context of the first request about a row, and all continuations. */
function asked(task: Task, row: Document) {
  const pairs = task.requests(task.source.read(row) as Document, "") as readonly {
    readonly context: string
    readonly continuation: string
  }[]
  return {
    pairs,
    text: pairs[0]?.context,
    choices: pairs.map((each) => each.continuation.slice(1)),
  }
}

t.test("rows become the original's texts", (t) => {
  const [d1, d2, d3] = ["a", "b", "c"]
  const rest = { distractor1: d1, distractor2: d2, distractor3: d3, correct_answer: "d" }
  for (const [support, want] of units.sciq_text) {
    t.equal(asked(sciq, { support, question: "why", ...rest }).text, want.replace("why?", "why"))
  }
  for (const { doc, label, choices, target } of units.winogrande) {
    const { pairs } = asked(winogrande, doc)
    t.same(
      pairs.map(({ context }) => context),
      choices,
    )
    t.same(
      pairs.map(({ continuation }) => continuation),
      [` ${target}`, ` ${target}`],
    )
    t.same(score(winogrande, doc, [-label, label - 1]), { acc: 1 })
  }
  for (const { doc, text, choices, gold } of units.race) {
    const found = asked(race, doc)
    t.equal(found.text, text)
    t.same(found.choices, choices)
    t.equal(targetOf(race, doc), gold)
  }
  const anatomy = mmlu.members
    .flatMap((group) => (group as Group).members as readonly Task[])
    .find(({ name }) => name === "mmlu_anatomy") as Task
  t.equal(asked(anatomy, units.mmlu.doc).text, units.mmlu.text)
  t.equal(anatomy.description?.({}), units.mmlu.description_applied)
  t.end()
})

t.test("answers are scored as the original scores them", (t) => {
  for (const { choices, ll, gold, out } of units.multiple_choice) {
    const task = multipleChoice({
      name: "x",
      version: 0,
      source: { splits: { test: "test" }, read: (row) => row },
      text: () => "",
      choices: () => choices,
      gold: () => gold,
      columns: { choices: "x", gold: "y" },
      metrics: ["acc", "acc_norm"],
    })
    t.same(score(task, {}, ll), out, JSON.stringify(choices))
  }
  for (const { labels, ll, acc } of units.mc2) {
    const found = score(truthfulqaMc2, { mc2_targets: { labels } }, ll)
    t.ok(
      Math.abs((found.acc as number) - acc) <= 1e-12 * Math.min(1, acc * 1e3),
      `${found.acc} is ${acc}`,
    )
  }
  for (const { ll, out } of units.crows) t.same(score(crowsPairsEnglish, {}, ll), out)
  t.end()
})

t.test("means, groups and their standard errors are the original's", (t) => {
  const near = (a: unknown, b: number, what: string) =>
    t.ok(Math.abs((a as number) - b) < 1e-12, `${what}: ${a} is ${b}`)
  for (const { values, mean, stderr } of units.mean_stderr) {
    const found = aggregate("mean", values, 1)
    near(found.value, mean, "mean")
    near(found.error, stderr, "stderr")
  }
  for (const { sizes, metrics, stderrs, metric, stderr } of units.group) {
    const found = pooled(
      sizes.map((size: number, i: number) => ({ size, value: metrics[i], error: stderrs[i] })),
    )
    near(found.value, metric, "group")
    near(found.error, stderr, "pooled stderr")
  }
  t.equal(aggregate("mean", [1], 1).error, "N/A")
  const alone = { value: 1, error: "N/A" as const, size: 1 }
  t.equal(pooled([alone, { value: 0, error: 0.5, size: 4 }]).error, "N/A")
  t.end()
})

t.test("literals of Python are read, and nothing else", (t) => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['[\'a\', "b\'s", \'c\\\'d\', """e\nf"""]', ["a", "b's", "c'd", "e\nf"]],
    ["{'k': (1, -2.5e3, [],), 'n': None, 't': True}", { k: [1, -2500, []], n: null, t: true }],
    ["('x' 'y')", "xy"],
    ["'\\x41\\u00e9\\U0001F30A\\101\\q\\\\n'", "Aé🌊A\\q\\n"],
    ["r'\\n'", "\\n"],
    ["[true, false, null]", [true, false, null]],
  ]
  for (const [text, want] of cases) t.same(parseLiteral(text, "x"), want, text)
  const wrong = ["['a'", "[1 2]", "'a\nb'", "'\\x4'", "__import__('os')", "[1]]", "{1, 2}", ""]
  for (const text of wrong) {
    t.throws(
      () => parseLiteral(text, "row 3"),
      { name: "SyntaxError", message: /^row 3 is not/ },
      text,
    )
  }
  t.throws(() => parseLiteral("[".repeat(1000), "x"), /nests deeper than 64/)
  t.end()
})

t.test("contexts and continuations become the original's tokens", async (t) => {
  const tokenizer = await loadTokenizer(fixture("data/tiny.model"))
  for (const { context, continuation, ...want } of fixtureJson("eval/encode_pairs.json").pairs) {
    const found = encodedPair(tokenizer, { context, continuation })
    t.same(found.context, want.context_ids, JSON.stringify([context, continuation]))
    t.same(found.continuation, want.continuation_ids, JSON.stringify([context, continuation]))
  }
})
