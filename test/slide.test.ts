// Beyond the end of a cache: what stays is where it would be, and a text goes on as if what was dropped had
// never been.
import { join } from "node:path"
import { readBound } from "../engine/index.ts"
import { type GenerateOptions, OpenELM, open } from "../index.ts"
import { headsOf } from "../model/generate/state.ts"
import { internals, Session } from "../model/index.ts"
import { allBackends } from "./backends.ts"
import { collect, config } from "./small.ts"
import t from "./tap.ts"

const capacity = 24
const overflow = { keep: 4, drop: 10 }
const V = config.vocabSize
const text = Array.from({ length: capacity }, (_, i) => (7 * i * i + 3 * i + 5) % V)

/** Keys and values of the first positions, layer by layer. */
async function contentOf(session: Session, count: number, backend: OpenELM["backend"]) {
  const all = session.caches.flatMap(({ keys, values }) => [keys, values])
  const values = all.flatMap((x) => headsOf(x, count).map((head) => readBound(head, backend)))
  return (await Promise.all(values)).map((each) => Float64Array.from(each as Float32Array))
}

type Content = [was: Float64Array, is: Float64Array, would: Float64Array]

const worst = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0)

for (const { label, open } of allBackends) {
  t.test(`keys are turned to where they move to, values are moved, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 5 })
    const { decoder } = internals(model)
    const session = new Session(decoder, backend, { capacity, cache: "f32" })
    await session.prefill(text, 0, "nothing")
    const before = await contentOf(session, capacity, backend)
    await session.slide(overflow)
    const left = capacity - overflow.drop
    const after = await contentOf(session, left, backend)
    const kept = [...text.slice(0, 4), ...text.slice(14)]
    await session.prefill(kept, 0, "nothing")
    const fresh = await contentOf(session, left, backend)
    session.close()
    const E = config.headDim
    let at = 0
    let largest = 0
    for (const [layer, G] of config.keyHeads.entries()) {
      for (let g = 0; g < 2 * G; g++, at++) {
        const [was, is, would] = [before, after, fresh].map((each) => each[at]) as Content
        if (layer === 0) largest = Math.max(largest, worst(is, would))
        else t.equal(worst(is.slice(0, 4 * E), was), 0, "what stays is untouched")
        if (g < G) continue
        const moved = worst(is.slice(4 * E), was.slice(14 * E))
        t.equal(moved, 0, "values are moved as they are")
      }
    }
    t.comment(`largest error of a key ${largest}`)
    // Keys are RMS-normalized: of about 1.
    t.ok(largest < 4e-6, `keys of the first layer differ by ${largest}`)
  })
}

for (const { label, open } of allBackends.filter(({ label }) => label === "webgpu")) {
  t.test(`steps that begin before others have ended slide in order, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 2, capacity })
    const slide = { overflow: "slide", temperature: 3, maxNewTokens: 40, seed: 3 } as const
    const onHost = await collect(model, text, { ...slide, logitsProcessor: () => undefined })
    t.same(await collect(model, text, slide), onHost)
  })
}

t.test("one layer goes on as if what was dropped had never been", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const one = {
    ...{ ...config, layers: 1, keyHeads: config.keyHeads.slice(0, 1) },
    ...{ queryHeads: config.queryHeads.slice(0, 1), ffnDims: config.ffnDims.slice(0, 1) },
  }
  await using model = await OpenELM.random(one, { backend, seed: 2, capacity })
  await using wide = await OpenELM.random(one, { backend, seed: 2 })
  const slide = { overflow: "slide", stop: [] } as const
  const all = await collect(model, text.slice(0, 9), { ...slide, maxNewTokens: 70 })
  t.equal(all.length, 70)
  const window = text.slice(0, 9)
  let slides = 0
  for (const [i, id] of all.entries()) {
    const [next] = await collect(wide, window, { maxNewTokens: 1 })
    t.equal(id, next, `token ${i}`)
    if (window.length === capacity) {
      window.splice(overflow.keep, overflow.drop)
      slides++
    }
    window.push(id)
  }
  t.ok(slides > 4)
  const long = [...text, ...text, ...text]
  const [first] = await collect(model, long, { ...slide, maxNewTokens: 1, overflowKeep: 0 })
  // It slides by half of the cache whenever it is full and there is more.
  const [want] = await collect(wide, long.slice(12 * 4), { maxNewTokens: 1 })
  t.equal(first, want)
})

t.test("a cache that slides: draws, the host's tokens, prompt caches, refusals", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await OpenELM.random(config, { backend, seed: 2, capacity })
  const slide = { overflow: "slide", stop: [], temperature: 3, maxNewTokens: 60, seed: 3 } as const
  const drawn = await collect(model, text, slide)
  t.equal(new Set(drawn.slice(-20).map((id, i) => `${id} ${drawn[i + 30]}`)).size > 10, true)
  t.same(await collect(model, text, { ...slide, logitsProcessor: () => undefined }), drawn)
  using promptCache = model.promptCache()
  const first = await collect(model, text, { ...slide, maxNewTokens: 30, promptCache })
  t.same(first, drawn.slice(0, 30))
  const read = promptCache.readTokens
  const rest = await collect(model, [...text, ...first], {
    ...slide,
    maxNewTokens: 30,
    promptCache,
  })
  t.same(rest, drawn.slice(30))
  t.equal(promptCache.readTokens - read, 1 + 29)
  const path = join(t.testdir({}), "slid.safetensors")
  await promptCache.save(path)
  using restored = model.promptCache()
  await restored.load(path)
  const whole = [...text, ...drawn]
  const further = { ...slide, maxNewTokens: 12 }
  t.same(
    await collect(model, whole, { ...further, promptCache: restored }),
    await collect(model, whole, { ...further, promptCache }),
  )
  t.equal(restored.readTokens, 1 + 11)
  const control = new AbortController()
  control.abort()
  const aborted = { ...slide, promptCache: restored, signal: control.signal }
  await t.rejects(collect(model, [7, ...text], aborted), { name: "AbortError" })
  await restored.save(path)
  await restored.load(path)
  t.same(await collect(model, text, { ...slide, promptCache: restored }), drawn)
  const again = await collect(model, text, { ...slide, maxNewTokens: 5, promptCache })
  t.same(again, drawn.slice(0, 5), "what parts from it in what was dropped is read again")
  const cases: readonly [GenerateOptions, RegExp][] = [
    [{ maxNewTokens: 9, overflow: "slip" as never }, /overflow is "slip", expected "error" or/],
    [{ overflow: "slide", overflowKeep: 23 }, /overflowKeep must be a whole number from 0 to 22/],
    [{ overflow: "error", maxNewTokens: 20 }, /24 prompt tokens leave no room in the cache of 24/],
  ]
  for (const [options, message] of cases) await t.rejects(collect(model, text, options), message)
  const beams = { overflow: "slide", numBeams: 2 } as const
  await t.rejects(
    model.complete([text], beams),
    /slides is of one continuation, and beams of several/,
  )
})

t.test("caches slide under guesses, and for several prompts, as they do for one", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await OpenELM.random(config, { backend, seed: 2, capacity })
  await using other = await OpenELM.random(config, { backend, seed: 4, capacity: 20 })
  const slide = { overflow: "slide", stop: [], maxNewTokens: 90 } as const
  let accepted = 0
  const onDraft = (round: { accepted: number }) => {
    accepted += round.accepted
  }
  const guesses: GenerateOptions[] = [
    { promptLookupNumTokens: 5, maxMatchingNgramSize: 1 },
    { assistantEarlyExit: 1 },
    { assistantModel: other, numAssistantTokensSchedule: "constant" },
  ]
  for (const prompt of [text, text.slice(0, 5)]) {
    const plain = await collect(model, prompt, slide)
    for (const guess of guesses) {
      t.same(await collect(model, prompt, { ...slide, ...guess, onDraft }), plain)
    }
    const warm = { ...slide, temperature: 3, seed: 5 }
    const [lookup] = guesses
    t.same(await collect(model, prompt, { ...warm, ...lookup }), await collect(model, prompt, warm))
  }
  t.ok(accepted > 20, `${accepted} guesses held`)
  using promptCache = model.promptCache()
  const [lookup] = guesses
  const first = await collect(model, text, { ...slide, ...lookup, maxNewTokens: 33, promptCache })
  const rest = { ...slide, ...lookup, maxNewTokens: 57, promptCache }
  t.same(
    [...first, ...(await collect(model, [...text, ...first], rest))],
    await collect(model, text, slide),
  )
  const [long, short] = await model.complete([[...text, ...text], text.slice(0, 3)], slide)
  t.same(long?.ids, await collect(model, [...text, ...text], slide))
  t.same(short?.ids, await collect(model, text.slice(0, 3), slide))
  const whole = [...text, ...text]
  const echo = { overflow: "slide", stop: [], echo: true, logprobs: 0, maxNewTokens: 1 } as const
  const { ids, logprobs } = await model.complete(whole, echo)
  t.same([ids.length, logprobs?.length], [whole.length + 1, whole.length + 1])
})
