// Tasks against the original's goldens: contexts, continuations, draws, targets and metrics of every task
// and number of shots, with models that are formulas.
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { type EvaluateOptions, evaluate, type Results, type Sample } from "../eval/index.ts"
import type { Pair, Scorer } from "../eval/types.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t, { type Test } from "./tap.ts"

const sha = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16)

/** FNV-1a of both texts. */
function hash({ context, continuation }: Pair): number {
  let h = 0x811c9dc5
  for (const byte of new TextEncoder().encode(`${context}\u001f${continuation}`)) {
    h = Math.imul(h ^ byte, 0x01000193)
  }
  return h >>> 0
}

const formulas: Readonly<Record<string, (h: number) => number>> = {
  hash: (h) => -(1 + (h % 20000)) / 1000,
  // With many ties.
  coarse: (h) => -(1 + (h % 4)),
}

const scorerOf = (name: string): Scorer => ({
  async logLikelihood(pairs) {
    return pairs.map((pair) => {
      const h = hash(pair)
      return { logProb: formulas[name]?.(h) as number, isGreedy: h % 5 === 0 }
    })
  },
})

interface GoldenDoc {
  readonly ctx?: string | readonly string[]
  readonly ctx_sha?: string | readonly string[]
  readonly cont?: string | readonly string[]
  readonly gold: number
}

interface GoldenTask {
  readonly task: string
  readonly shots: number
  readonly docs?: readonly GoldenDoc[]
  readonly subtasks?: Readonly<Record<string, readonly GoldenDoc[]>>
  readonly results: Readonly<Record<string, Readonly<Record<string, object>>>>
}

const data = fixture("eval/data")
const goldens = readdirSync(fixture("eval/tasks")).map(
  (name) =>
    JSON.parse(gunzipSync(readFileSync(fixture(`eval/tasks/${name}`))).toString()) as GoldenTask,
)

/** The results, and the log by task. */
async function evaluated(model: string, options: EvaluateOptions) {
  const samples = new Map<string, Sample[]>()
  const results = await evaluate(scorerOf(model), {
    data,
    onSample(task, sample) {
      samples.set(task, [...(samples.get(task) ?? []), sample])
    },
    ...options,
  })
  return { results, samples }
}

function checkNumbers(t: Test, found: Results["results"], want: GoldenTask["results"][string]) {
  for (const [name, metrics] of Object.entries(want)) {
    for (const [metric, value] of Object.entries(metrics)) {
      const got = found[name]?.[metric]
      const isNear = value === got || Math.abs((value as number) - (got as number)) <= 1e-12
      if (!isNear) t.fail(`${name} ${metric} is ${got}, expected ${value}`)
    }
  }
}

/** The context and the continuation of each choice as the golden has them. */
function checkDoc(t: Test, what: string, doc: GoldenDoc, sample: Sample): void {
  const pairs = sample.arguments as readonly (readonly [string, string])[]
  const want = <T>(x: T | readonly T[], i: number): T => (Array.isArray(x) ? x[i] : x) as T
  const continuations = doc.cont ?? [" A", " B", " C", " D"]
  if (Array.isArray(continuations)) t.equal(pairs.length, continuations.length, what)
  for (const [i, [context, continuation]] of pairs.entries()) {
    if (doc.ctx !== undefined) t.equal(context, want(doc.ctx, i), `${what} context`)
    else t.equal(sha(context), want(doc.ctx_sha, i), `${what} context`)
    t.equal(continuation, want(continuations, i), `${what} continuation`)
  }
}

for (const { task, shots, docs, subtasks, results: want } of goldens) {
  t.test(`${task} with ${shots} shots equals the original's`, async (t) => {
    const { results, samples } = await evaluated("hash", { tasks: [task], shots })
    for (const [name, list] of Object.entries(subtasks ?? { [task]: docs ?? [] })) {
      t.equal(samples.get(name)?.length, list.length, name)
      for (const [i, doc] of list.entries()) {
        const sample = samples.get(name)?.[i] as Sample
        checkDoc(t, `${name} ${i}`, doc, sample)
        if (task !== "winogrande") t.equal(sample.target, doc.gold, `${name} ${i} target`)
      }
    }
    checkNumbers(t, results.results, want.hash as Record<string, object>)
    const coarse = await evaluated("coarse", { tasks: [task], shots })
    checkNumbers(t, coarse.results.results, want.coarse as Record<string, object>)
  })
}

t.test("results have the original's keys, values and order", async (t) => {
  const want = fixtureJson("eval/results_example.json")
  const easy = await evaluated("hash", { tasks: ["arc_easy"], shots: 0 })
  const mmlu = await evaluated("hash", { tasks: ["mmlu"], shots: 5 })
  const { configs, ...rest } = mmlu.results
  t.same(Object.keys(configs).length, 57)
  const withoutModel = (all: Results) => ({ ...all, config: { ...all.config, model: "HashLM" } })
  const ordered = (value: unknown): string => JSON.stringify(value)
  for (const key of ["results", "groups", "group_subtasks", "versions", "n-shot"] as const) {
    t.equal(ordered(rest[key]), ordered(want.mmlu_5shot_without_configs[key]), key)
  }
  t.same(withoutModel(easy.results).config, want.arc_easy_0shot.config)
  t.same(Object.keys(easy.results), Object.keys(want.arc_easy_0shot))
  const config = want.arc_easy_0shot.configs.arc_easy
  t.same(Object.keys(easy.results.configs.arc_easy ?? {}).sort(), Object.keys(config).sort())
  t.equal(ordered(easy.samples.get("arc_easy")?.[0]), ordered(want.sample_arc_easy_doc0))
  const winogrande = await evaluated("hash", { tasks: ["winogrande"], shots: 0 })
  t.equal(
    ordered(winogrande.samples.get("winogrande")?.[0]),
    ordered(want.sample_winogrande_0shot_doc0),
  )
})

t.test("the commonsense tasks equal CoreNet's", async (t) => {
  const all = fixtureJson("eval/commonsense/expected.json")
  for (const [name, want] of Object.entries<CommonsenseGolden>(all)) {
    const task = `commonsense_${name}`
    const options = { tasks: [task], data: fixture("eval/commonsense") }
    const { results, samples } = await evaluated("hash", options)
    const found = samples.get(task) ?? []
    const pairs = found.map((each) => each.arguments as readonly (readonly [string, string])[])
    t.equal(pairs[0]?.[0]?.[0], want.first_context, name)
    t.same(
      pairs.map((each) => sha(each[0]?.[0] as string)),
      want.context_sha256_16,
      name,
    )
    t.same(
      pairs.map((each) => each.map(([, continuation]) => continuation)),
      want.continuations,
    )
    t.same(
      found.map((each) => each.resps.map(([answer]) => (answer as number[])[0])),
      want.hash_ll,
    )
    checkNumbers(t, results.results, { [task]: withFilter(want.hash) })
    const limited = await evaluated("hash", { ...options, limit: 3 })
    checkNumbers(t, limited.results.results, { [task]: withFilter(want.hash_limit3) })
  }
})

interface CommonsenseGolden {
  readonly first_context: string
  readonly context_sha256_16: readonly string[]
  readonly continuations: readonly (readonly string[])[]
  readonly hash_ll: readonly (readonly number[])[]
  readonly hash: Readonly<Record<string, number>>
  readonly hash_limit3: Readonly<Record<string, number>>
}

const withFilter = (metrics: Readonly<Record<string, number>>): object =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`${name},none`, value]))
