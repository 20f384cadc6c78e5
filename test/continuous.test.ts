// Requests that come and go in one batch: each has the tokens that it has alone, whoever is beside it,
// whatever of its prompt is there already, and however it is sampled.

import { type GenerateOptions, OpenELM } from "../index.ts"
import { QueueFullError } from "../model/generate/bounds.ts"
import { Continuous } from "../model/generate/continuous.ts"
import { requestOf } from "../model/generate/request.ts"
import { type Source, sourceOf } from "../model/generate/source.ts"
import { allBackends } from "./backends.ts"
import { smallPart } from "./driver.ts"
import { collect, config } from "./small.ts"
import t from "./tap.ts"

const V = config.vocabSize
const textOf = (length: number, from: number): number[] =>
  Array.from({ length }, (_, i) => (7 * i * i + 3 * i + from) % V)

const asked: readonly { prompt: number[]; options: GenerateOptions }[] = [
  { prompt: textOf(5, 1), options: {} },
  { prompt: textOf(110, 2), options: { temperature: 1.5, seed: 7 } },
  { prompt: textOf(19, 3), options: { temperature: 0.8, topK: 20, topP: 0.9, seed: 7 } },
  // Chosen on the host, beside those that are not.
  { prompt: textOf(40, 4), options: { temperature: 1, seed: 3, repetitionPenalty: 1.3 } },
  { prompt: textOf(40, 4), options: { logprobs: 2 } },
  // It begins as another does.
  { prompt: [...textOf(110, 2).slice(0, 80), ...textOf(9, 5)], options: {} },
  { prompt: textOf(1, 6), options: { temperature: 1, seed: 9 } },
]

const optionsOf = (i: number): GenerateOptions => ({
  ...(asked[i] as (typeof asked)[0]).options,
  maxNewTokens: 6 + ((5 * i) % 9),
  stop: [],
})

const requestAt = (source: Source, i: number) =>
  requestOf(source, undefined, (asked[i] as (typeof asked)[0]).prompt, optionsOf(i))

/** The slowest is one of several. */
const tried = allBackends.filter(({ label }) => smallPart === undefined || label !== "js")

for (const { label, open } of tried) {
  t.test(`requests that come and go have their own tokens, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 5, capacity: 256 })
    const source = sourceOf(model) as Source
    const alone: number[][] = []
    for (const [i, { prompt }] of asked.entries()) {
      alone.push(await collect(model, prompt, optionsOf(i)))
    }
    const serving = new Continuous([source], { places: 3, queue: 20 })
    t.teardown(() => serving.close())
    await serving.warm()
    const run = async (i: number, leavesAfter = Number.POSITIVE_INFINITY) => {
      const found: number[] = []
      for await (const { id, logprobs } of serving.submit(requestAt(source, i))) {
        found.push(id)
        t.equal(logprobs !== undefined, "logprobs" in optionsOf(i))
        if (found.length === leavesAfter) break
      }
      t.same(found, alone[i]?.slice(0, leavesAfter), `request ${i}`)
    }
    // More than there are places; two leave early; the second round finds what the first has read.
    await Promise.all([0, 1, 2, 3, 4, 5, 6].map((i) => run(i, i === 2 || i === 6 ? 3 : undefined)))
    const { read } = serving.counts
    await Promise.all([5, 4, 1, 0].map((i) => run(i)))
    const { reused, active, waiting, generated } = serving.counts
    t.ok(reused >= 80, `${reused} tokens were there`)
    t.ok(serving.counts.read - read < 150, "what is there is not read again")
    t.same({ active, waiting }, { active: 0, waiting: 0 })
    t.ok(generated > 0)
  })
}

t.test("a queue is bounded, and who leaves it or aborts is not waited for", async (t) => {
  const { open } = allBackends[0] as (typeof allBackends)[0]
  const backend = await open()
  t.teardown(() => backend.close())
  const model = await OpenELM.random(config, { backend, seed: 5, capacity: 256 })
  const source = sourceOf(model) as Source
  const serving = new Continuous([source], { places: 1, queue: 2 })
  const long = { maxNewTokens: 200, stop: [] }
  const submit = (options: GenerateOptions = long) =>
    serving.submit(requestOf(source, undefined, [1, 2, 3], options))
  const abort = new AbortController()
  const first = submit()
  const second = submit({ ...long, signal: abort.signal })
  const third = submit({ ...long, maxNewTokens: 2 })
  t.throws(() => submit(), QueueFullError)
  await first.next()
  t.same([serving.counts.active, serving.counts.waiting], [1, 2])
  abort.abort(new Error("no longer"))
  await t.rejects(second.next(), /no longer/)
  await first.return?.()
  const ids: number[] = []
  for await (const { id } of third) ids.push(id)
  t.equal(ids.length, 2)
  const last = submit()
  await last.next()
  await serving.close()
  await t.rejects(async () => {
    for await (const _ of last) void 0
  }, /closing/)
  t.throws(() => submit(), /nothing is served here any longer/)
  await model.close()
})
