// Generations that end by their text: nothing of a stop text comes out, however it falls into tokens,
// and no more is held back than may belong to one.

import { type GenerateOptions, loadTokenizer, OpenELM, open, type Token } from "../index.ts"
import { before } from "../model/generate/stop.ts"
import { allBackends } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import { config, prompt } from "./small.ts"
import t from "./tap.ts"

/** Parts of a text as tokens, numbered from 0. */
const tokensOf = (parts: readonly string[]): Token[] => parts.map((text, id) => ({ id, text }))

async function* streamOf(parts: readonly string[], seen: Token[] = []) {
  for (const token of tokensOf(parts)) {
    seen.push(token)
    yield token
  }
}

const all = async <T>(from: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = []
  for await (const each of from) found.push(each)
  return found
}

const textOf = (tokens: readonly Token[]): string => tokens.map(({ text }) => text).join("")

t.test("a stop text in parts of every size", async (t) => {
  const text = "ababcabcabdé\n\nUser: no"
  for (const stops of [["abcabd"], ["abc", "babc"], ["é\n"], ["\n\nUser:", "User"], ["o", "no"]]) {
    // What is complete first, read character by character.
    const ends = stops.map((stop) => ({ stop, end: text.indexOf(stop) + stop.length }))
    const first = ends.sort((a, b) => a.end - b.end || b.stop.length - a.stop.length)[0]
    const expected = text.slice(0, (first?.end ?? 0) - (first?.stop.length ?? 0))
    for (let size = 1; size <= text.length; size++) {
      const parts = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? []
      const got = await all(before(streamOf(parts), stops))
      t.equal(textOf(got), expected, `${JSON.stringify(stops)} in parts of ${size}`)
      // Every token has its own text but the last, which may be cut.
      t.same(
        got.slice(0, -1),
        tokensOf(parts).slice(0, Math.max(0, got.length - 1)),
        "and the tokens are those that begin before it",
      )
      t.ok(got.every((token) => token.text !== ""))
    }
  }
})

t.test("without a match everything comes, and no more is held than may be one", async (t) => {
  const parts = ["a", "", "b", "x", "ab", "c", "ab", "", "", "", "", "aba", "", "q", "ab"]
  const stops = ["abcd", "ababab"]
  t.same(await all(before(streamOf(parts), stops)), tokensOf(parts))
  // One character at a time: as many are held as belong to the beginning of a stop text.
  const late: number[] = []
  const source: Token[] = []
  let count = 0
  for await (const _ of before(streamOf([..."xxabcxabxx"], source), ["abcd"])) {
    count++
    late.push(source.length - count)
  }
  t.same(late, [0, 0, 3, 2, 1, 0, 2, 1, 0, 0])
})

t.test("the bytes of a character that a stop text begins with", async (t) => {
  // Three tokens without text, then the character that they are the beginning of.
  const got = await all(before(streamOf(["a", "", "", "", "😀 b"]), ["😀"]))
  t.same(got, [{ id: 0, text: "a" }])
  const seen: Token[] = []
  let count = 0
  for await (const _ of before(streamOf(["a", ...Array(20).fill("")], seen), ["😀"])) {
    t.ok(seen.length - ++count <= 3, "and no more of them are held")
  }
  t.equal(count, 21)
})

for (const { label, open } of allBackends.filter(({ label }) => !/js|wide|simd/.test(label))) {
  t.test(`stop texts on ${label} end a text before them, wherever tokens are cut`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const tokenizer = await loadTokenizer("byte")
    const wide = { ...config, vocabSize: 260 }
    const model = await OpenELM.random(wide, { backend, tokenizer, seed: 3 })
    const generate = (options: GenerateOptions) => all(model.generate("It is", options))
    for (let seed = 0; seed < 12; seed++) {
      const options = { maxNewTokens: 24, temperature: 3, seed }
      const tokens = await generate(options)
      const whole = textOf(tokens)
      const from = seed % Math.max(1, whole.length - 3)
      const stop = whole.slice(from, from + 3)
      const got = await generate({ ...options, stop: [stop, "never there"] })
      t.equal(textOf(got), whole.slice(0, whole.indexOf(stop)), JSON.stringify(stop))
      const ids = tokens.map(({ id }) => id)
      t.same(
        got.map(({ id }) => id),
        ids.slice(0, got.length),
      )
      const last = ids[Math.min(9, ids.length - 1)] ?? 0
      const until = await generate({ ...options, stop: ["never there", last] })
      t.same(
        until.map(({ id }) => id),
        ids.slice(0, ids.indexOf(last) + 1),
        "mixed with ids",
      )
    }
    const one = { maxNewTokens: 4 }
    t.same(await generate({ ...one, stop: ["never there"] }), await generate(one))
    await model.close()
  })
}

t.test("with texts alone a generation ends at the end of text too", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const tokenizer = await loadTokenizer("byte")
  const wide = { ...config, vocabSize: 260 }
  await using model = await OpenELM.random(wide, { backend, tokenizer })
  for (let seed = 0; seed < 20; seed++) {
    const options = { temperature: 5, seed }
    const own = await all(model.generate("a", options))
    t.same(await all(model.generate("a", { ...options, stop: ["never there"] })), own)
  }
})

t.test("wrong stops have one clear error", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using plain = await OpenELM.random(config, { backend })
  const tokenizer = await loadTokenizer(fixture("data/tiny.model"))
  const wide = { ...config, vocabSize: tokenizer.vocabSize }
  await using model = await OpenELM.random(wide, { backend, tokenizer })
  const stopping = (of: OpenELM, stop: unknown) =>
    all(of.generate(prompt, { maxNewTokens: 2, stop: stop as never }))
  const expected = /stop must be an array of token ids and texts, got/
  for (const stop of ["text", 5, null, {}, [null], [[1]], [true], [1, undefined], ["a", {}]]) {
    await t.rejects(stopping(model, stop), { name: "TypeError", message: expected })
  }
  await t.rejects(stopping(model, [1, "a", ""]), {
    name: "RangeError",
    message: /stop holds an empty text/,
  })
  await t.rejects(stopping(model, ["a", 420]), {
    name: "RangeError",
    message: /^generate: stop: token ids lie in 0 … 419, got 420/,
  })
  const none = {
    name: "TypeError",
    message: /^generate: stop holds the text "\\n\\n", .*tokenizer/,
  }
  await t.rejects(stopping(plain, ["\n\n"]), none)
  t.equal((await stopping(model, Int32Array.of(1))).length > 0, true, "typed arrays are ids")
})

t.test("advice is for what can be done", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const ask = async (capacity: number, maxNewTokens: number, length = 3): Promise<string> => {
    await using model = await OpenELM.random(config, { backend, capacity })
    return all(model.generate(Array(length).fill(1), { maxNewTokens })).then(
      () => "",
      ({ message }) => message,
    )
  }
  t.match(
    await ask(100, 98),
    /Ask for at most 97 new tokens, or load with a capacity of up to 1200$/,
  )
  t.match(await ask(1200, 1198), /Ask for at most 1197 new tokens$/)
  t.match(await ask(100, 1, 100), /Shorten the prompt, or load with a capacity of up to 1200$/)
  t.match(await ask(1200, 1, 1200), /Shorten the prompt$/)
})
