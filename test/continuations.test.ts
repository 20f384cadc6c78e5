// Continuations scored together: the numbers of whole passes, each token read once, whatever is asked for
// beside them and wherever texts part.

import type { Backend } from "../engine/index.ts"
import { addAdapter, createTrainStep, OpenELM, open } from "../index.ts"
import { type Chunk, Lanes } from "../model/generate/lanes.ts"
import type { Continued } from "../model/generate/passes.ts"
import { internals } from "../model/index.ts"
import { goldenBackends } from "./backends.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const V = config.vocabSize
const textOf = (length: number, seed = 3): number[] =>
  Array.from({ length }, (_, i) => (7 * i * i + seed * i + 1) % V)
const after = (context: readonly number[], ...more: readonly number[]): Continued => ({
  ids: [...context, ...more],
  from: context.length,
})
const opened = (backend: Backend, capacity = 700): Promise<OpenELM> =>
  OpenELM.random(config, { backend, seed: 5, capacity })

/** The same of each by itself, from the scores of all its tokens. */
async function alone(model: OpenELM, { ids, from }: Continued) {
  const { logProbabilities, likeliest } = await model.score(ids)
  return {
    logProb: logProbabilities.subarray(from - 1).reduce((sum, x) => sum + x, 0),
    isGreedy: ids.slice(from).every((id, i) => likeliest[from - 1 + i] === id),
  }
}

/** What parts early, late and never; what another one begins with; duplicates; the likeliest token. */
async function asked(model: OpenELM, length: number): Promise<Continued[]> {
  const shots = textOf(length)
  const other = [...shots, 9, 8]
  const { likeliest } = await model.score([...shots, 0])
  return [
    ...[4, 5, 6, 4].map((id) => after(shots, id)),
    after(other, 3, 1, 2),
    after(shots, likeliest[length - 1] as number),
    after([7], 3),
    ...[[5], [5, 1], [5, 1, 77], [9, 8, 3, 1, 2]].map((ids) => after(shots, ...ids)),
    after(other, 3, 1, 2),
    after(textOf(20, 4), ...textOf(13, 2)),
    after(textOf(length).slice(0, 9), ...shots.slice(9, 12)),
  ]
}

for (const { label, open } of goldenBackends) {
  t.test(`continuations have the scores of whole passes, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await opened(backend)
    // One step, and several.
    for (const length of label.startsWith("wasm") ? [13, 530] : [13]) {
      const requests = await asked(model, length)
      const scored: number[] = []
      const onScored = (request: number) => void scored.push(request)
      const found = await internals(model).score(requests, { onScored })
      for (const [i, request] of requests.entries()) {
        const want = await alone(model, request)
        const { logProb = Number.NaN, isGreedy } = found[i] ?? {}
        const error = Math.abs(logProb - want.logProb) / Math.max(1, Math.abs(want.logProb))
        t.ok(error < 1e-5, `${length} ${i}: ${logProb}, alone ${want.logProb}`)
        t.equal(isGreedy, want.isGreedy, `${length} ${i}`)
      }
      t.ok(found[5]?.isGreedy)
      t.same(
        scored.toSorted((a, b) => a - b),
        [...requests.keys()],
      )
    }
  })
}

const lengthOf = (chunk: Chunk | undefined): number => (chunk ? chunk.end - chunk.start : 0)

t.test("what requests begin with is read once, and stays until weights move", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await opened(backend)
  const steps = t.capture(Lanes.prototype, "step", Lanes.prototype.step)
  /** Of each step, how many tokens of each text. */
  const read = async (...requests: readonly Continued[]) => {
    await internals(model).score(requests)
    return steps().map(({ args: [{ chunks }] }) => chunks.map(lengthOf))
  }
  const shots = textOf(600)
  const questions = [[1, 2, 3, 4], [5, 6, 7, 8, 9], [5]].map((more) => [...shots, ...more])
  const choices = questions.flatMap((context) => [11, 12, 13, 14].map((id) => after(context, id)))
  // The last question is what the one before begins with.
  t.same(await read(...choices), [[512], [88], [5, 4]])
  t.same(await read(after([...shots, 1, 2, 9], 3)), [[3]], "the next call goes on from there")
  t.same(await read(after([...shots, 1, 2, 9], 5)), [[1]], "what is wanted is read again")
  t.same(await read(after([...shots, 6, 6], 3), after(shots, 7)), [[3]])
  await internals(model).training(async () => undefined)
  t.same(await read(after(textOf(40), 3)), [[40]])
  const words = Array.from({ length: V }, (_, id) => id)
  const many = words.flatMap((id) => [38, 39, 40].map((length) => after(textOf(length), id)))
  t.same(await read(...many), [[3], [1]], "of 303 tokens asked for, 256 are gathered at a time")
})

t.test("scores are independent of what else is asked for, and of threads to the bit", async (t) => {
  const results: (readonly number[])[] = []
  for (const threads of [1, 2]) {
    await using backend = await open("wasm", { threads })
    await using model = await opened(backend)
    const requests = await asked(model, 90)
    const all = (await internals(model).score(requests)).map(({ logProb }) => logProb)
    results.push(all)
    for (const [i, request] of requests.entries()) {
      const [one] = await internals(model).score([request])
      t.ok(Math.abs((one?.logProb as number) - (all[i] as number)) < 1e-5, `${threads} ${i}`)
    }
  }
  t.same(results[0], results[1])
})

for (const cache of ["f32", "f16", "q8"] as const) {
  t.test(`many short texts are read side by side, over a cache in ${cache}`, async (t) => {
    await using backend = await open("wasm", { threads: 2 })
    await using model = await OpenELM.random(config, { backend, seed: 5, capacity: 100, cache })
    const steps = t.capture(Lanes.prototype, "step", Lanes.prototype.step)
    const copies = t.capture(Lanes.prototype, "copy", Lanes.prototype.copy)
    const shots = textOf(30, 4)
    const requests = Array.from({ length: 40 }, (_, i) => [...shots, ...textOf(5 + i, 6 + i)])
      .map((ids, i) => (i % 2 ? ids : ids.slice(20)))
      .flatMap((ids, i) => [1, 3, 5].map((count) => after(ids, ...textOf(count + (i % 3), i))))
    const found = await internals(model).score(requests)
    let [rows, tokens, count] = [0, 0, 0]
    for (const { args } of steps()) {
      const [{ T, chunks }] = args
      rows += chunks.length * T
      tokens += chunks.reduce((sum, chunk) => sum + lengthOf(chunk), 0)
      count++
    }
    t.ok(count < 40, `${count} steps`)
    t.ok(tokens > 0.5 * rows, `${tokens} tokens in ${rows} rows`)
    t.ok(copies().length > 0, "copies what many begin with, or closes lanes up")
    // A number on the edge between two that a cache has falls to either.
    const most = { f32: 1e-5, f16: 1e-3, q8: 1e-2 }[cache]
    for (const [i, request] of requests.entries()) {
      const [want, { logProb = Number.NaN } = {}] = [await alone(model, request), found[i]]
      const error = Math.abs(logProb - want.logProb) / Math.max(1, Math.abs(want.logProb))
      t.ok(error < most, `${i}: ${logProb}, alone ${want.logProb}`)
    }
  })
}

t.test("scores go through the adapter, and follow what it learns", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await opened(backend, 40)
  const request = after(textOf(20), 3, 4)
  const before = await internals(model).score([request])
  const adapter = await addAdapter(model, { rank: 2, seed: 1 })
  const step = await createTrainStep(model, { adapter })
  for (let i = 0; i < 2; i++) {
    await step([textOf(20)], [textOf(20, 5)], { lr: 0.1 })
    const [found] = await internals(model).score([request])
    const want = await alone(model, request)
    t.ok(Math.abs((found?.logProb as number) - want.logProb) < 1e-5, `step ${i}`)
  }
  t.not((await internals(model).score([request]))[0]?.logProb, before[0]?.logProb)
  model.adapter = undefined
  t.same(await internals(model).score([request]), before)
})

/** Buffers that are not freed and plans that are not closed, from here on. */
function counted(backend: Backend): { buffers: number; plans: number } {
  const live = { buffers: 0, plans: 0 }
  const [alloc, prepare] = [backend.alloc.bind(backend), backend.prepare.bind(backend)]
  backend.alloc = (...given) => {
    const buffer = alloc(...given)
    const free = buffer.free.bind(buffer)
    buffer.free = () => {
      if (!buffer.freed) live.buffers--
      free()
    }
    live.buffers++
    return buffer
  }
  backend.prepare = (recorded) => {
    const prepared = prepare(recorded)
    const close = prepared.close.bind(prepared)
    prepared.close = () => {
      live.plans--
      close()
    }
    live.plans++
    return prepared
  }
  return live
}

t.test("thousands of requests of any lengths leave no more than the first ones", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await opened(backend, 120)
  const live = counted(backend)
  const seen: { buffers: number; plans: number }[] = []
  for (let round = 0; round < 30; round++) {
    const requests = Array.from({ length: 100 }, (_, i) => {
      const context = textOf(1 + ((17 * i + 5 * round) % 100), 3 + (i % 7))
      return after(context, ...textOf(1 + ((i + round) % 9), 2))
    })
    await internals(model).score(requests)
    seen.push({ ...live })
  }
  const most = (some: typeof seen) => Math.max(...some.map(({ buffers }) => buffers))
  t.ok(
    seen.every(({ plans }) => plans >= 1 && plans <= 25),
    JSON.stringify(seen.at(-1)),
  )
  t.ok(most(seen.slice(15)) <= most(seen.slice(0, 15)), JSON.stringify(seen))
})

t.test("what cannot be scored is refused, and aborts are heard", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await opened(backend, 40)
  const { score } = internals(model)
  const full = after(textOf(40), 3)
  t.ok(Number.isFinite((await score([full]))[0]?.logProb), "one more than the cache holds")
  await t.rejects(score([after(textOf(41), 3)]), /score: 42 tokens exceed the cache of 41/)
  await t.rejects(score([full, after([], 3)]), /the first token that is scored is 0 of 1/)
  await t.rejects(score([after([1])]), /the first token that is scored is 1 of 1/)
  await t.rejects(score([after([1], V)]), /token ids lie in 0/)
  const aborter = new AbortController()
  const seen: number[] = []
  const onScored = (request: number) => {
    seen.push(request)
    aborter.abort(new Error("enough"))
  }
  const requests = Array.from({ length: 40 }, (_, i) => after([i, 98, 99], 4))
  await t.rejects(score(requests, { signal: aborter.signal, onScored }), /enough/)
  t.equal(seen.length, 32, "those of the step that was under way")
})
