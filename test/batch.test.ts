// Several sequences in one plan: each has the tokens that it has alone, whenever it comes and whoever is
// beside it.

import { OpenELM } from "../index.ts"
import { Batch } from "../model/generate/batch.ts"
import type { Sampling } from "../model/generate/session.ts"
import { internals } from "../model/index.ts"
import { goldenBackends } from "./backends.ts"
import { collect, config } from "./small.ts"
import t from "./tap.ts"

const V = config.vocabSize
const textOf = (length: number, from: number): number[] =>
  Array.from({ length }, (_, i) => (7 * i * i + 3 * i + from) % V)

const asked: readonly { prompt: number[]; sampling: Sampling }[] = [
  { prompt: textOf(5, 1), sampling: { temperature: 0, topK: 0, topP: 1, seed: 0 } },
  { prompt: textOf(1, 2), sampling: { temperature: 1.5, topK: 0, topP: 1, seed: 7 } },
  { prompt: textOf(19, 3), sampling: { temperature: 0.8, topK: 20, topP: 0.9, seed: 7 } },
  { prompt: textOf(33, 4), sampling: { temperature: 1.5, topK: 0, topP: 1, seed: 8 } },
]
const count = 12

for (const { label, open } of goldenBackends) {
  t.test(`in a batch each sequence has its own tokens, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 5 })
    const alone: number[][] = []
    for (const { prompt, sampling } of asked) {
      alone.push(await collect(model, prompt, { ...sampling, maxNewTokens: count }))
    }
    const options = { capacity: 64, cache: "f32" } as const
    const batch = new Batch(internals(model).decoder, backend, 5, options)
    const found: number[][] = asked.map(() => [])
    const step = async (seats: ReadonlyMap<number, number>) => {
      const tokens = await batch.next()
      for (const [seat, of] of seats) found[of]?.push(tokens[seat] as number)
    }
    const begin = async (seat: number, of: number) => {
      const { prompt, sampling } = asked[of] as (typeof asked)[0]
      found[of]?.push(await batch.append(seat, prompt, sampling))
    }
    // Two begin, two join them later in other seats, one of which had another text before.
    const seats = new Map([
      [0, 0],
      [3, 1],
    ])
    for (const [seat, of] of seats) await begin(seat, of)
    await batch.append(4, textOf(20, 9), { temperature: 0, topK: 0, topP: 1, seed: 0 })
    for (let i = 0; i < 3; i++) await step(seats)
    batch.clear(4)
    for (const [seat, of] of [
      [4, 2],
      [1, 3],
    ] as const) {
      await begin(seat, of)
      seats.set(seat, of)
    }
    t.equal(batch.lengthOf(0), 8)
    for (let i = 4; i < count; i++) await step(seats)
    for (let i = 0; i < 3; i++) await step(new Map([...seats].filter(([, of]) => of > 1)))
    found.forEach((tokens, of) => {
      t.same(tokens, alone[of], `sequence ${of}`)
    })
    batch.close()
  })
}

t.test("what is at rest never runs out of its cache, and what is full says so", async (t) => {
  const { open } = goldenBackends.at(2) as (typeof goldenBackends)[0]
  const backend = await open()
  t.teardown(() => backend.close())
  await using model = await OpenELM.random(config, { backend, seed: 5 })
  const { decoder } = internals(model)
  const batch = new Batch(decoder, backend, 2, { capacity: 16, cache: "f32" })
  const sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }
  await batch.append(1, textOf(9, 1), sampling)
  batch.clear(1)
  for (let round = 0; round < 3; round++) {
    const first = await batch.append(0, textOf(6, 1), sampling)
    const tokens = [first]
    for (let i = 0; i < 10; i++) tokens.push((await batch.next())[0] as number)
    t.same(tokens, await collect(model, textOf(6, 1), { maxNewTokens: 11 }), `round ${round}`)
    await t.rejects(batch.next(), /the cache of 16 positions of sequence 0 is full/)
    batch.clear(0)
  }
  await t.rejects(batch.append(2, [1], sampling), /no sequence 2 in a batch of 2/)
  t.throws(() => new Batch(decoder, backend, 0, { capacity: 16, cache: "f32" }), /from 1, got 0/)
  batch.close()
})
