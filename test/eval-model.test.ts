// Tasks with a model behind them, against the original's log-likelihoods of the same small model in f64:
// which tokens are scored, after which, with the beginning of the text or the end of one before.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { encodedPair, scorerOf } from "../eval/scorer.ts"
import { evaluate, loadTokenizer, OpenELM, open, scaledConfig } from "../index.ts"
import { type Tokenizer, writeSafetensors } from "../model/index.ts"
import { fixture, fixtureJson, golden } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-eval-model-"))
t.teardown(() => rmSync(dir, { recursive: true }))

/** The golden model with a row for each piece of the tokenizer: its own rows in reverse, again and again,
 *  each time a sixteenth smaller. */
async function modelFolder(pieces: number): Promise<string> {
  const tensors = await golden("model/weights.safetensors")
  const written = [...tensors].map(([name, { shape, values }]) => {
    const [V = 0, D = 0] = shape
    if (!name.includes("token_embeddings")) {
      return [name, { dtype: "F32" as const, shape, data: Float32Array.from(values) }] as const
    }
    const data = new Float32Array(pieces * D)
    for (let token = 0; token < pieces; token++) {
      const r = pieces - 1 - token
      const scale = 1 - Math.floor(r / V) / 16
      for (let i = 0; i < D; i++) data[token * D + i] = (values[(r % V) * D + i] as number) * scale
    }
    return [name, { dtype: "F32" as const, shape: [pieces, D], data }] as const
  })
  await writeSafetensors(join(dir, "model.safetensors"), new Map(written))
  const config = {
    ...fixtureJson("model/config.json"),
    vocab_size: pieces,
    max_context_length: 2048,
  }
  writeFileSync(join(dir, "config.json"), JSON.stringify(config))
  return dir
}

const folder = await modelFolder(420)
const load = async (capacity?: number) => {
  const backend = await open("wasm", { threads: 1 })
  const tokenizer = fixture("data/tiny.model")
  const model = await OpenELM.load(folder, {
    backend,
    tokenizer,
    ...(capacity ? { capacity } : {}),
  })
  return { model, close: () => model.close().then(() => backend.close()) }
}

interface GoldenDoc {
  readonly tiny_ll?: readonly number[]
}

for (const name of readdirSync(fixture("eval/tasks"))) {
  t.test(`${name}: log-likelihoods and metrics are the original's`, async (t) => {
    const file = gunzipSync(readFileSync(fixture(`eval/tasks/${name}`)))
    const { task, shots, docs, subtasks, results, ...rest } = JSON.parse(file.toString())
    // Of MMLU's subjects three have log-likelihoods. Contexts of many examples are cut.
    const all: [string, readonly GoldenDoc[]][] = Object.entries(subtasks ?? { [task]: docs })
    const wanted = new Map(all.filter(([, list]) => list[0]?.tiny_ll))
    const { model, close } = await load(rest.tiny_max_length)
    const errors: number[] = []
    const found = await evaluate(model, {
      ...{ tasks: [...wanted.keys()], shots, data: fixture("eval/data") },
      onSample(of, { doc_id, resps }) {
        const want = wanted.get(of)?.[doc_id]?.tiny_ll ?? []
        const got = resps.map(([answer]) => (answer as number[])[0] as number)
        errors.push(...got.map((ll, i) => Math.abs(ll - (want[i] as number))))
      },
    })
    t.ok(errors.length > 0 && Math.max(...errors) < 5e-5, `${Math.max(...errors)}`)
    for (const of of wanted.keys()) {
      for (const [metric, value] of Object.entries<number>(results.tiny[of])) {
        t.ok(Math.abs((found.results[of]?.[metric] as number) - value) < 1e-4, `${of} ${metric}`)
      }
    }
    await close()
  })
}

t.test("the commonsense tasks are the original's", async (t) => {
  const { model, close } = await load()
  const all = fixtureJson("eval/commonsense/expected.json")
  for (const [name, { tiny_ll, tiny }] of Object.entries<CommonsenseGolden>(all)) {
    const task = `commonsense_${name}`
    const got: number[][] = []
    const { results } = await evaluate(model, {
      ...{ tasks: [task], data: fixture("eval/commonsense") },
      onSample: (_, { resps }) =>
        void got.push(resps.map(([answer]) => (answer as number[])[0] as number)),
    })
    const errors = got.flatMap((lls, i) =>
      lls.map((ll, n) => Math.abs(ll - (tiny_ll[i]?.[n] as number))),
    )
    t.ok(Math.max(...errors) < 5e-5, `${name} ${Math.max(...errors)}`)
    t.equal(results[task]?.["acc,none"], tiny.acc)
    t.equal(results[task]?.["acc_norm,none"], tiny.acc_norm)
  }
  await close()
})

interface CommonsenseGolden {
  readonly tiny_ll: readonly (readonly number[])[]
  readonly tiny: { readonly acc: number; readonly acc_norm: number }
}

t.test("odd pairs are scored as the original scores them", async (t) => {
  const all: readonly OddPair[] = fixtureJson("eval/encode_pairs.json").pairs
  for (const length of new Set(all.map(({ max_length }) => max_length))) {
    const { model, close } = await load(length)
    const pairs = all.filter(({ max_length }) => max_length === length)
    const found = await scorerOf(model).logLikelihood(pairs)
    for (const [i, { context, continuation, tiny_ll, is_greedy }] of pairs.entries()) {
      const what = JSON.stringify([length, context, continuation])
      t.ok(Math.abs((found[i]?.logProb as number) - tiny_ll) < 5e-5, `${what} ${found[i]?.logProb}`)
      t.equal(found[i]?.isGreedy, is_greedy, what)
    }
    const long = { context: "a", continuation: "b ".repeat(3000) }
    await t.rejects(
      scorerOf(model).logLikelihood([long]),
      /tokens is longer than the model's window of/,
    )
    await close()
  }
})

t.test("texts of a tokenizer without BOS begin with none", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const tokenizer = await loadTokenizer(fixture("bpe/neox/tokenizer.json"))
  const sizes = {
    name: "neox",
    layers: 1,
    modelDim: 32,
    headDim: 16,
    ffnDivisor: 24,
    maxContext: 64,
  }
  const { vocabSize } = tokenizer
  const config = scaledConfig({ ...sizes, vocabSize, queryHeadsPerKeyHead: 2 })
  await using model = await OpenELM.random(config, { backend, seed: 3, tokenizer })
  const scorer = scorerOf(model)
  const [found] = await scorer.logLikelihood([{ context: "the cat ", continuation: "sat" }])
  const [before, all] = [tokenizer.encode("the cat").length, tokenizer.encode("the cat sat")]
  const { logProbabilities } = await model.score(all)
  const want = logProbabilities.subarray(before - 1).reduce((sum, x) => sum + x, 0)
  t.ok(Math.abs((found?.logProb as number) - want) < 1e-5)
  t.ok(((await scorer.rolling?.(["the cat"]))?.[0] as number) < 0)
  const prompt = { context: "the", until: [""], maxNewTokens: 2 }
  t.type((await scorer.generateUntil?.([prompt]))?.[0], "string")
  const blank = scorer.logLikelihood([{ context: " ", continuation: "a" }])
  await t.rejects(blank, /a context has no tokens/)
})

t.test("what is asked together has the answers that each has by itself", async (t) => {
  const { model, close } = await load(48)
  const scorer = scorerOf(model)
  const near = (found: readonly number[], want: readonly number[], what: string) =>
    found.map((x, i) => t.ok(Math.abs(x - (want[i] as number)) < 1e-5, `${what} ${i}: ${x}`))
  const [lead, long] = [
    "Question: the cat sat\nAnswer:",
    "The quick brown fox jumps over it. ".repeat(9),
  ]
  const pairs = [lead, `${lead} `, long, `${long}\n`, ""].flatMap((context) =>
    [" A", " B", " a mat", " a mat", "ing"].map((continuation) => ({ context, continuation })),
  )
  const done: number[] = []
  const onProgress = (count: number) => void done.push(count)
  const all = await scorer.logLikelihood(pairs, { onProgress })
  t.same(
    done,
    pairs.map((_, i) => i + 1),
  )
  for (const [i, pair] of pairs.entries()) {
    const { context, continuation } = encodedPair(model.tokenizer as Tokenizer, pair)
    const ids = [...context, ...continuation].slice(-49)
    const { logProbabilities } = await model.score(ids.slice(-48))
    const want = logProbabilities.subarray(-continuation.length).reduce((sum, x) => sum + x, 0)
    if (ids.length < 49) near([all[i]?.logProb as number], [want], JSON.stringify(pair))
    const [one] = await scorer.logLikelihood([pair])
    near([all[i]?.logProb as number], [one?.logProb as number], JSON.stringify(pair))
    t.equal(all[i]?.isGreedy, one?.isGreedy)
  }
  const texts = ["", long, "A cat", long.slice(3), "A cat sat", "A cat"]
  const counts: number[] = []
  const together = await scorer.rolling?.(texts, { onProgress: (n) => void counts.push(n) })
  t.equal(counts.at(-1), texts.length)
  for (const [i, text] of texts.entries()) {
    near([together?.[i] as number], (await scorer.rolling?.([text])) ?? [], `rolling ${i}`)
  }
  const prompts = texts.slice(1).flatMap((context, i) => [
    { context, until: ["e"], maxNewTokens: 9 },
    { context, until: [], maxNewTokens: 3 + (i % 2) },
  ])
  const written = (await scorer.generateUntil?.(prompts)) ?? []
  for (const [i, prompt] of prompts.entries()) {
    t.same(await scorer.generateUntil?.([prompt]), [written[i]], `written ${i}`)
  }
  await close()
})

interface OddPair {
  readonly max_length: number
  readonly context: string
  readonly continuation: string
  readonly tiny_ll: number
  readonly is_greedy: boolean
}
