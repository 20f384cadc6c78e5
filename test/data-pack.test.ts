// Packed samples: each token of each document once an epoch, documents apart, a book in one piece,
// shared out without loss.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadTokenizer } from "../model/index.ts"
import { PythonRandom } from "../model/python/random.ts"
import { type DataOptions, type Sample, textPipeline } from "../train/data/index.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-pack-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const T = 32
const model = fixture("data/tiny.model")
const base = { tokenizer: model, sequenceLength: T, pack: true, workers: 0, normalization: "none" }

/** Text of so many words, some of them empty, some with line breaks. */
function textOf(words: number, seed: number): string {
  const random = new PythonRandom(seed)
  const some = [
    "stone",
    "the",
    "river",
    "follows",
    "a\nquiet",
    "page",
    "",
    "Ünïcode",
    "27",
    "harbor.",
  ]
  return Array.from({ length: words }, () => random.choices(some, 1)[0]).join(" ")
}

const documents = [40, 3, 0, 1, 200, 7, 64, 25].map((words, i) => textOf(words, i))
const lines = join(dir, "documents.jsonl")
writeFileSync(lines, documents.map((text) => `${JSON.stringify({ text })}\n`).join(""))

async function all(changed: object, options: object = {}): Promise<Sample[]> {
  const config = { sources: [lines], ...base, ...changed } as DataOptions
  const samples: Sample[] = []
  for await (const sample of textPipeline(config, { epochs: 1, ...options })) samples.push(sample)
  return samples
}

/** The tokens of windows in order, each with whether it begins a document or a part of one. */
function streamOf(samples: readonly Sample[], padId: number): { id: number; isStart: boolean }[] {
  const stream = samples.flatMap(({ inputs, starts }, n) =>
    [...inputs].map((id, i) => ({ id, isStart: starts?.[i] === i && (i > 0 || n === 0) })),
  )
  const end = stream.findIndex(({ id }) => id === padId)
  const { targets } = samples.at(-1) as Sample
  if (end >= 0) return stream.slice(0, end)
  return [...stream, { id: targets.at(-1) as number, isStart: false }]
}

t.test("each token of each document is there once an epoch, in order", async (t) => {
  const tokenizer = await loadTokenizer(model)
  const want = documents
    .filter((text) => text !== "")
    .flatMap((text) => tokenizer.encode(text, { bos: true, eos: true }))
  const samples = await all({ shuffleWindows: 1 })
  const stream = streamOf(samples, tokenizer.padId)
  t.same(
    stream.map(({ id }) => id),
    want,
  )
  const shuffled = await all({ shuffleWindows: 5 })
  const row = ({ inputs }: Sample): string => inputs.join()
  t.not(shuffled.map(row).join(), samples.map(row).join())
  t.same(shuffled.map(row).sort(), samples.map(row).sort())
  const blocks = [shuffled, samples].map((list) => list.slice(0, 5).map(row).sort())
  t.same(blocks[0], blocks[1], "windows stay in their block")
  const twice = await all({ shuffleWindows: 1 }, { epochs: 2 })
  const two = streamOf(twice, tokenizer.padId).map(({ id }) => id)
  t.same(two, [...want, ...want])
})

t.test("documents are kept apart", async (t) => {
  const { padId, bosId, eosId } = await loadTokenizer(model)
  const samples = await all({ shuffleWindows: 3 })
  for (const [n, { inputs, targets, starts = [] }] of samples.entries()) {
    const end = inputs.includes(padId) ? inputs.indexOf(padId) : T
    const isRight = Array.from(inputs, (id, i) => {
      if (i >= end) return id === padId && targets[i] === padId && starts[i] === end
      const start = starts[i] as number
      const document = inputs.slice(start, i + 1)
      const isApart = document.lastIndexOf(bosId) <= 0 && (start === 0 || document[0] === bosId)
      if (i === end - 1) return isApart
      return isApart && targets[i] === (id === eosId ? padId : inputs[i + 1])
    })
    t.same(isRight.indexOf(false), -1, `window ${n}`)
  }
})

t.test("short documents are left out where limits say so", async (t) => {
  const tokenizer = await loadTokenizer(model)
  const lengths = documents.map((text) => tokenizer.encode(text, { bos: true, eos: true }).length)
  const kept = documents.filter((_, i) => (lengths[i] as number) >= 60)
  // Pieces of three words: a document is judged whole all the same.
  const samples = await all({ minTokens: 60, shuffleWindows: 1, wordsPerPiece: 3 })
  const starts = streamOf(samples, tokenizer.padId).filter(({ isStart }) => isStart)
  t.equal(starts.length, kept.length)
  t.same(new Set(starts.map(({ id }) => id)), new Set([tokenizer.bosId]))
  await t.rejects(
    all({ minCharacters: 5000 }),
    /no sample: .* minCharacters .* 5000 or minTokens .* 0, or was skipped/,
  )
  const empty = join(dir, "empty.txt")
  writeFileSync(empty, "")
  await t.rejects(all({ sources: [empty] }), /no sample/, "an empty file")
})

t.test("a book is one text, in one share or in several", async (t) => {
  const book = join(dir, "book.txt")
  const text = textOf(3000, 11)
  writeFileSync(book, text)
  for (const name of [model, "byte"]) {
    const tokenizer = await loadTokenizer(name)
    const changed = { sources: [book], tokenizer: name, wordsPerPiece: 10, shuffleWindows: 1 }
    const whole = streamOf(await all(changed), tokenizer.padId).map(({ id }) => id)
    t.same([whole[0], whole.at(-1)], [tokenizer.bosId, tokenizer.eosId])
    t.equal(tokenizer.decode(whole), text, name)
    const runs: number[][][] = []
    for (const rank of [0, 1, 2]) {
      const shares = await all(changed, { rank, worldSize: 3 })
      const parts: number[][] = []
      for (const { id, isStart } of streamOf(shares, tokenizer.padId)) {
        if (isStart) parts.push([])
        parts.at(-1)?.push(id)
      }
      runs.push(parts)
    }
    const dealt = [0, 1, 2, 3, 4].flatMap((i) => runs[i % 3]?.[Math.floor(i / 3)] ?? [])
    t.same(dealt, whole, "every run once")
  }
})

t.test("files can be shared out instead", async (t) => {
  const files = [0, 1, 2].map((i) => {
    const path = join(dir, `share-${i}.txt`)
    writeFileSync(path, textOf(50, 20 + i))
    return path
  })
  const changed = { sources: files, shardBy: "files", shuffleWindows: 1, shuffleData: false }
  const whole = await all(changed)
  const { padId, bosId } = await loadTokenizer(model)
  const beginnings = (samples: readonly Sample[]): number =>
    streamOf(samples, padId).filter(({ id }) => id === bosId).length
  t.equal(beginnings(whole), 3)
  // Three files for two: one is filled up, as the original does.
  const shares = await Promise.all([0, 1].map((rank) => all(changed, { rank, worldSize: 2 })))
  t.same(shares.map(beginnings), [2, 2])
})
