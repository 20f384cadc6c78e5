// Sequences: scored as the logits say, rewound as if nothing had been, over prompts of every length.

import type { Backend, Plan } from "../engine/index.ts"
import { OpenELM } from "../index.ts"
import { recurring } from "../model/generate/prefill.ts"
import { Sequence } from "../model/generate/sequence.ts"
import { Session } from "../model/generate/session.ts"
import { internals } from "../model/index.ts"
import { goldenBackends, relativeError } from "./backends.ts"
import { collect, config } from "./small.ts"
import t from "./tap.ts"

const V = config.vocabSize
const greedy = { temperature: 0, topK: 0, topP: 1, seed: 0 }
const textOf = (length: number): number[] =>
  Array.from({ length }, (_, i) => (7 * i * i + 3 * i + 1) % V)

const opened = (backend: Backend): Promise<OpenELM> => OpenELM.random(config, { backend, seed: 5 })

/** log p of each token after those before it, by the logits of all. */
async function byLogits(model: OpenELM, ids: readonly number[]) {
  const logits = await model.logits([ids])
  return ids.slice(1).map((id, i) => {
    const row = logits.subarray(i * V, (i + 1) * V)
    const top = Math.max(...row)
    const sum = row.reduce((s, x) => s + Math.exp(x - top), 0)
    return {
      logProbability: (row[id] as number) - top - Math.log(sum),
      likeliest: row.indexOf(top),
    }
  })
}

for (const { label, open } of goldenBackends) {
  t.test(`score is what the logits say, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await opened(backend)
    // One step, the last of a chunk, the first of the next, and several chunks.
    for (const length of label === "js" ? [1, 2, 33] : [1, 2, 33, 128, 129, 130, 300]) {
      const ids = textOf(length)
      const want = await byLogits(model, ids)
      const got = await model.score(ids)
      t.same(got.ids, ids)
      const error = relativeError(
        got.logProbabilities,
        want.map((each) => each.logProbability),
      )
      t.ok(length === 1 || error < 1e-5, `${length} tokens are off by ${error.toExponential(1)}`)
      t.same(
        [...got.likeliest],
        want.map((each) => each.likeliest),
      )
    }
  })

  t.test(`logits of a sequence are those of a whole pass, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await opened(backend)
    const options = { capacity: 200, cache: "f32" } as const
    const session = new Session(internals(model).decoder, backend, options)
    for (const length of label === "js" ? [3] : [1, 3, 130]) {
      const ids = textOf(length)
      const want = await model.logits([ids])
      const all = await new Sequence(session).logits(ids, "rows")
      const last = await new Sequence(session).logits(ids, "row")
      t.equal(all.length, length * V)
      t.ok(relativeError(all, want) < 1e-5, `${length} rows`)
      t.ok(relativeError(last, want.subarray(-V)) < 1e-5, `the last of ${length}`)
    }
    session.close()
  })

  t.test(`rewound, a sequence goes on as one that never was longer, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await opened(backend)
    const session = new Session(internals(model).decoder, backend, { capacity: 64, cache: "f32" })
    const sequence = new Sequence(session)
    sequence.sampleBy(greedy, 0)
    const prompt = textOf(19)
    const first = [await sequence.append(prompt, "next")]
    for (let i = 0; i < 5; i++) first.push(await sequence.next())
    t.equal(sequence.length, 24)
    sequence.rewind(19)
    t.same(await sequence.append([first[0] as number], "next"), first[1], "after the prompt")
    sequence.rewind(0)
    await sequence.append([9, 8, 7, 6, 5], "nothing")
    sequence.rewind(0)
    const again = [await sequence.append(prompt, "next")]
    for (let i = 0; i < 5; i++) again.push(await sequence.next())
    t.same(again, first, "from the beginning")
    t.same(first, await collect(model, prompt, { maxNewTokens: 6 }))
    t.throws(() => sequence.rewind(99), /rewind: 99 is none of the lengths from 0 to 24/)
    session.close()
  })
}

t.test("prompts of all lengths take few plans, and give what whole passes give", async (t) => {
  const lengths = new Set(Array.from({ length: 512 }, (_, i) => recurring(i + 1)))
  t.equal(lengths.size, 64 + 16 * 3)
  t.ok([...lengths].every((n) => recurring(n) === n && n <= 512))
  const { open } = goldenBackends.at(2) as (typeof goldenBackends)[0]
  const backend = await open()
  t.teardown(() => backend.close())
  await using model = await OpenELM.random(config, { backend, seed: 5, capacity: 70 })
  for (const length of [1, 16, 17, 31, 33, 35, 64, 65, 66, 67, 68, 69]) {
    const prompt = textOf(length)
    const logits = (await model.logits([prompt])).subarray(-V)
    const [token] = await collect(model, prompt, { maxNewTokens: 1 })
    t.equal(token, logits.indexOf(Math.max(...logits)), `${length} tokens`)
  }
  await t.rejects(model.score(textOf(71)), /score: 71 tokens exceed the cache of 70/)
  await t.rejects(model.score("a text"), /score: this model has no tokenizer/)
  await t.rejects(model.score([V]), /score: token ids lie in 0/)
})

t.test("a session has plans for what it was asked, and memory for no more", async (t) => {
  const { open } = goldenBackends.at(2) as (typeof goldenBackends)[0]
  const backend = await open()
  t.teardown(() => backend.close())
  await using model = await opened(backend)
  const plans: Plan[] = []
  const counting: Backend = {
    name: backend.name,
    has: (kernel) => backend.has(kernel),
    alloc: (bytes, dtype, near) => backend.alloc(bytes, dtype, near),
    write: (buffer, data, offset) => backend.write(buffer, data, offset),
    read: (buffer, bytes, offset) => backend.read(buffer, bytes, offset),
    prepare(plan) {
      plans.push(plan)
      return backend.prepare(plan)
    },
    close() {},
  }
  const options = { capacity: 64, cache: "f32" } as const
  const session = new Session(internals(model).decoder, counting, options)
  const sequence = new Sequence(session)
  sequence.sampleBy(greedy, 0)
  t.equal(plans.length, 0)
  const caches = session.bytes
  await sequence.append(textOf(20), "nothing")
  const unscored = session.bytes
  t.equal(plans.length, 1, "a prompt is read without a plan of a decode step")
  t.ok(20 * 4 + (plans[0]?.arenaBytes ?? 0) === unscored - caches, "its ids, and its arena")
  sequence.rewind(0)
  await sequence.score(textOf(21))
  t.ok(session.bytes - unscored >= 20 * 4 * V, "logits of all positions where a score is asked")
  sequence.rewind(0)
  await sequence.append(textOf(20), "next")
  t.notOk(plans.includes(session.decodePlan))
  await sequence.next()
  t.equal(plans.at(-1), session.decodePlan)
  session.close()
})
