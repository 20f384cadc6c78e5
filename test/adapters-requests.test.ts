// Adapters chosen request by request: several on one model at once, in one call for several prompts, closed
// while one is in use.

import { type Adapter, LanguageModel, loadAdapter, type Token } from "../index.ts"
import { allBackends } from "./backends.ts"
import { fixture, goldenFolder, peftBase } from "./fixtures.ts"
import t from "./tap.ts"

const { path: base, remove } = peftBase()
t.teardown(remove)

const sampling = { maxNewTokens: 6, temperature: 2, stop: [] } as const
const prompts = [
  [1, 9, 13],
  [1, 4],
  [1, 9, 13],
  [1, 22, 7, 5],
  [1, 4],
  [1, 9, 13],
]
const seeds = [5, 6, 5, 7, 6, 5]

const idsOf = async (tokens: AsyncIterable<Token>): Promise<number[]> => {
  const ids: number[] = []
  for await (const { id } of tokens) ids.push(id)
  return ids
}

/** A model with two adapters beside it, and none that it goes through by itself. */
async function adaptedModel(backend: Awaited<ReturnType<(typeof allBackends)[0]["open"]>>) {
  const model = await LanguageModel.load(base, { backend })
  const lora = await loadAdapter(model, fixture("tune/peft_library_lora"))
  const dora = await loadAdapter(model, fixture("tune/peft_library_dora"))
  model.adapter = undefined
  return { model, lora, dora }
}

for (const { label, open } of allBackends) {
  t.test(`each of several prompts has its adapter on ${label}`, async (t) => {
    const backend = await open()
    const { model, lora, dora } = await adaptedModel(backend)
    const adapter = [lora, null, dora, null, dora, null]
    const all = await model.complete(prompts, { ...sampling, seed: seeds, adapter })
    // By itself, when the model goes through it.
    const alone: number[][] = []
    for (const [i, each] of adapter.entries()) {
      model.adapter = each ?? undefined
      const seed = seeds[i] as number
      const { ids } = await model.complete(prompts[i] as number[], { ...sampling, seed })
      alone.push([...ids])
    }
    t.same(
      all.map(({ ids }) => [...ids]),
      alone,
    )
    t.notSame(all[0]?.ids, all[2]?.ids, "one prompt and seed, two adapters")
    t.notSame(all[0]?.ids, all[5]?.ids, "an adapter and none")
    model.adapter = dora
    // Side by side, token by token, while the model goes through another.
    const [first, second] = await Promise.all(
      [lora, null].map((adapter) =>
        idsOf(model.generate(prompts[0] as number[], { ...sampling, seed: 5, adapter })),
      ),
    )
    t.same([first, second], [alone[0], alone[5]])
    await model.close()
    backend.close()
  })
}

t.test("an adapter that is closed ends what goes through it, and nothing else", async (t) => {
  const backend = await (allBackends[0] as (typeof allBackends)[0]).open()
  const { model, lora, dora } = await adaptedModel(backend)
  const going = (adapter: Adapter | null) =>
    model.generate([1, 9, 13], { ...sampling, seed: 5, adapter })
  const [closing, other] = [going(lora), going(null)]
  await closing.next()
  await other.next()
  await lora.close()
  await t.rejects(closing.next(), { message: /the model or its adapter was closed during/ })
  t.notOk((await other.next()).done)
  await other.return()
  await t.rejects(model.complete([1], { adapter: lora }), { message: /this adapter is closed/ })

  const { path, remove } = goldenFolder()
  t.teardown(remove)
  const stranger = await LanguageModel.load(path, { backend })
  const refused = { name: "TypeError", message: /gave for this model, got an object/ }
  await t.rejects(stranger.complete([1], { adapter: dora }), refused)
  await t.rejects(model.complete([1], { adapter: 3 as unknown as Adapter }), {
    name: "TypeError",
    message: /addAdapter or loadAdapter gave for this model, got 3/,
  })
  await t.rejects(model.complete([[1], [1, 2]], { adapter: [dora] }), {
    name: "RangeError",
    message: /1 adapters for 2 prompts/,
  })
  const promptCache = model.promptCache({ adapter: dora })
  await t.rejects(model.complete([1, 2], { promptCache, adapter: null }), {
    message: /another adapter's/,
  })
  await model.complete([1, 2], { ...sampling, promptCache, adapter: dora })
  const again = await model.complete([1, 2, 3], { ...sampling, promptCache, adapter: dora })
  t.equal(promptCache.reusedTokens, 2)
  const whole = await model.complete([1, 2, 3], { ...sampling, adapter: dora })
  t.same(again.ids, whole.ids)
  promptCache.close()
  await model.close()
  await stranger.close()
  backend.close()
})
