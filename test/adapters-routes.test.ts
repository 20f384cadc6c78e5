// Sequences through several adapters in one plan: as many steps as one adapter takes, with the tokens that each has
// by itself; adapters of other ranks, modules and kinds beside each other; in a batch that requests share.

import { type Adapter, addAdapter, LanguageModel, open } from "../index.ts"
import { internals } from "../model/index.ts"
import type { AnswerPart } from "../model/serving.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())
const model = await LanguageModel.load(fixture("models/mobillama-1b"), { backend })
t.teardown(() => model.close())

/** An adapter of numbers that alter what is said. */
async function drawn(seed: number, options: Parameters<typeof addAdapter>[1]): Promise<Adapter> {
  const adapter = await addAdapter(model, { ...options, seed })
  for (const [name, { size, origin }] of adapter.tensors) {
    if (name.endsWith("magnitude_vector") || origin.kind !== "bound") continue
    const values = Float32Array.from({ length: size }, (_, i) => Math.sin(seed * i + seed) / 3)
    backend.write(origin.buffer, values, origin.offset)
  }
  return adapter
}

const adapters = [
  await drawn(3, { kind: "lora", rank: 3, alpha: 5, targets: ["q_proj", "gate_proj", "o_proj"] }),
  await drawn(4, {
    kind: "dora",
    rank: 17,
    alpha: 17,
    targets: ["v_proj", "up_proj", "down_proj"],
  }),
  await drawn(5, { rank: 2, alpha: 4, rankStabilised: true, targets: ["embed_tokens", "k_proj"] }),
  null,
]
model.adapter = undefined
const prompts = [
  [1, 9, 13],
  [1, 4],
  [1, 9, 13],
  [1, 9, 13],
]
const sampling = { maxNewTokens: 9, temperature: 1.5, stop: [] }

const alone = (): Promise<number[][]> =>
  Promise.all(
    adapters.map(async (adapter, i) => {
      const prompt = prompts[i] as number[]
      return [...(await model.complete(prompt, { ...sampling, seed: i, adapter })).ids]
    }),
  )

/** Counts the runs of plans that are made while `work` is done. */
async function runsOf(work: () => Promise<unknown>): Promise<number> {
  let runs = 0
  const prepare = backend.prepare.bind(backend)
  backend.prepare = (plan) => {
    const prepared = prepare(plan)
    const run = prepared.run.bind(prepared)
    prepared.run = () => {
      runs++
      return run()
    }
    return prepared
  }
  try {
    await work()
  } finally {
    backend.prepare = prepare
  }
  return runs
}

t.test("complete: one step a token for all, whatever they go through", async (t) => {
  const own = await alone()
  t.equal(new Set(own.slice(2).map(String)).size, 2, "one prompt, an adapter and none")
  const together = async () => {
    const all = await model.complete(prompts, {
      ...sampling,
      seed: [0, 1, 2, 3],
      adapter: adapters,
    })
    return all.map(({ ids }) => [...ids])
  }
  const runs = await runsOf(async () => t.same(await together(), own))
  // Four prompts, eight further tokens of all; what adapters beside a weight are is written before.
  const weights = 4 * model.config.layers + 1
  t.ok(runs <= weights + 4 + 8, `${runs} runs`)
  // They are what they are now, not what they were.
  ;(adapters[0] as Adapter).scale = 0.25
  const changed = await alone()
  t.notSame(changed[0], own[0])
  t.same(await together(), changed)
  ;(adapters[0] as Adapter).scale = 1
})

t.test(
  "a shared batch: requests with several adapters, one of them closed by and by",
  async (t) => {
    const own = await alone()
    const servings = internals(model).servings({ adapters, places: 3 })
    const [first] = servings
    await first?.warm()
    const asked = async (i: number) => {
      const serving = servings[i] as (typeof servings)[0]
      const [request] = serving.ask(prompts[i] as number[], { ...sampling, seed: i })
      const answer = serving.answer(request as NonNullable<typeof request>)
      t.same(await idsOf(answer), own[i], `adapter ${i}`)
    }
    await Promise.all([0, 1, 2, 3, 3, 0].map(asked))
    const counts = servings.map((serving) => serving.counts)
    t.same(
      counts.map(({ generated, active, waiting }) => [generated, active, waiting]),
      [18, 9, 9, 18].map((generated) => [generated, 0, 0]),
    )
    const steps = counts.map(({ steps }) => steps)
    t.ok(Math.max(...steps) <= 20, `${steps}: nobody waits for another's adapter`)
    // Whoever goes through it has the error; nobody else does.
    const closing = await drawn(7, { rank: 2, targets: ["q_proj"] })
    model.adapter = undefined
    const [plain, other] = internals(model).servings({ adapters: [null, closing], places: 2 })
    const begun = (serving: typeof plain, maxNewTokens: number) => {
      const how = { ...sampling, seed: 3, maxNewTokens }
      const [request] = serving?.ask([1, 9, 13], how) ?? []
      return serving?.answer(request as NonNullable<typeof request>)
    }
    const [left, goesOn] = [begun(other, 30), begun(plain, 9)]
    await left?.next()
    const going = idsOf(goesOn)
    await Promise.all([closing.close(), t.rejects(idsOf(left), /this adapter is closed/)])
    t.same(await going, own[3])
    await t.rejects(idsOf(begun(other, 1)), /this adapter is closed/)
    t.same(await idsOf(begun(plain, 9)), own[3])
    await plain?.close()
    await Promise.all(servings.map((serving) => serving.close()))
  },
)

t.test("an adapter that is closed ends what it is in, with its reason", async (t) => {
  const other = await drawn(6, { rank: 2, targets: ["q_proj"] })
  model.adapter = undefined
  const all = model.complete(prompts, { ...sampling, adapter: [other, null, null, other] })
  await Promise.all([other.close(), t.rejects(all, /this adapter is closed/)])
  t.equal((await alone()).length, 4)
})

async function idsOf(answer: AsyncIterable<AnswerPart> | undefined): Promise<number[]> {
  const ids: number[] = []
  for await (const { tokens } of answer ?? []) for (const { id } of tokens) ids.push(id)
  return ids
}
