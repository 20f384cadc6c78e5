// Learning a vocabulary: the pieces that the definition gives, the same however the text comes, and
// a file that this engine and SentencePiece apply as it was learned.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { loadTokenizer, parseTokenizer } from "../index.ts"
import { parseSentencePiece } from "../model/tokenizer/sentencepiece.ts"
import { learnVocabulary } from "../train/vocabulary/vocabulary.ts"
import { wordCounter } from "../train/vocabulary/words.ts"
import t from "./tap.ts"
import { randomOf } from "./tokenizers.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-vocabulary-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const source = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)), "utf8")
const english = source("LICENSE") + source("README.md")

const counted = async (...documents: (readonly string[])[]) => {
  const counter = wordCounter()
  for (const parts of documents) await counter.add(parts)
  return counter.counts
}

t.test("words: spaces lead, digits stand alone, scripts do not mix", async (t) => {
  const cases: readonly [string, string][] = [
    ["It's  a", " It|'|s|  a"],
    ["page 1984.", " page| |1|9|8|4|."],
    ["one\ntwo \n x", " one|\n|two| |\n| x"],
    ["naïve café\u0301s", " naïve| café\u0301s"],
    ["日本のカード語 x", " 日本のカード語| x"],
    ["abвгγδ, (x)", " ab|вг|γδ|,| (|x|)"],
    ["", ""],
    [" ", "  "],
  ]
  for (const [text, want] of cases) {
    const counts = await counted([text])
    const times = (word: string) => want.split("|").filter((other) => other === word).length
    t.same([...counts.keys()].join("|"), [...new Set(want.split("|"))].join("|"))
    for (const [word, count] of counts) t.equal(count, times(word), word)
  }
})

t.test("words are the same however the text is cut into parts", async (t) => {
  const below = randomOf(2)
  const whole = await counted([english])
  for (let n = 0; n < 10; n++) {
    const parts: string[] = []
    for (let at = 0; at < english.length; ) {
      const end = at + below(n < 5 ? 20 : 3000)
      parts.push(english.slice(at, end))
      at = end
    }
    t.same(await counted(parts), whole)
  }
})

/** Counts every pair of every word anew for each piece. */
function naivePieces(counts: ReadonlyMap<string, number>, merges: number, maxLength: number) {
  const words = [...counts].map(([word, count]) => ({
    symbols: [...word.replaceAll(" ", "▁")],
    count,
  }))
  const pieces: string[] = []
  const merge = (text: string): void => {
    for (const { symbols } of words) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        if (`${symbols[i]}${symbols[i + 1]}` === text) symbols.splice(i, 2, text)
      }
    }
  }
  const isPiece = (text: string): boolean =>
    [...text].length <= maxLength && (/^▁+$/.test(text) || text.lastIndexOf("▁") <= 0)
  while (pieces.length < merges) {
    const pairs = new Map<string, number>()
    for (const { symbols, count } of words) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        const text = `${symbols[i]}${symbols[i + 1]}`
        if (isPiece(text)) pairs.set(text, (pairs.get(text) ?? 0) + count)
      }
    }
    for (const text of pairs.keys()) if (pieces.includes(text)) merge(text)
    const sorted = [...pairs].filter(([text]) => !pieces.includes(text))
    sorted.sort(([a, n], [b, m]) => m - n || [...a].length - [...b].length || (a < b ? -1 : 1))
    const [best] = sorted[0] as [string, number]
    pieces.push(best)
    merge(best)
  }
  return { pieces, tokens: words.reduce((sum, w) => sum + w.symbols.length * w.count, 0) }
}

t.test("the pieces are those that counting everything anew gives", async (t) => {
  const below = randomOf(7)
  for (let n = 0; n < 6; n++) {
    const letters = n < 3 ? "abcd  " : "aaab "
    const text = Array.from({ length: 600 }, () => letters[below(letters.length)]).join("")
    const counts = await counted([text])
    const options = { characterCoverage: 1, maxPieceLength: 5 }
    const characters = new Set(letters).size
    const vocabSize = 259 + characters + 30
    const learned = learnVocabulary(counts, { vocabSize, ...options })
    const naive = naivePieces(counts, 30, 5)
    t.same(learned.pieces.slice(0, 30), naive.pieces)
    t.equal(learned.tokens, naive.tokens)
    t.equal(parseTokenizer(learned.model, "learned").encode(text).length, naive.tokens)
  }
})

t.test("encoding with a vocabulary takes the tokens that learning counted", async (t) => {
  for (const characterCoverage of [0.99, 1]) {
    const counts = await counted([english])
    const learned = learnVocabulary(counts, { vocabSize: 900, characterCoverage })
    const tokenizer = parseTokenizer(learned.model, "learned")
    const ids = tokenizer.encode(english)
    t.equal(ids.length, learned.tokens)
    t.equal(tokenizer.decode(ids), english)
    t.same(
      [tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.padId],
      [900, 1, 2, 900],
    )
    const { pieces } = parseSentencePiece(learned.model, "learned")
    t.notOk(
      pieces.some(({ text, kind }) => kind === "normal" && /\d./.test(text)),
      "digits alone",
    )
    t.notOk(pieces.some(({ text }) => text.length > 16))
  }
})

t.test("the order of the texts changes nothing", async (t) => {
  const halves = [[english.slice(0, 5000)], [english.slice(5000)]]
  const options = { vocabSize: 500 }
  const { model } = learnVocabulary(await counted(...halves), options)
  t.same(learnVocabulary(await counted(...halves.reverse()), options).model, model)
})

t.test("what cannot be learned has one clear error", async (t) => {
  const counts = await counted(["some text"])
  const learn = (options: object) => () =>
    learnVocabulary(counts, { vocabSize: 300, ...options } as never)
  const cases: readonly [object, RegExp][] = [
    [{}, /only 2\d\d pieces, of 300 asked for/],
    [{ vocabSize: 262 }, /7 characters, which with 259 special pieces exceed a vocabulary of 262/],
    [{ vocabSize: 259 }, /vocabSize must be a whole number from 260 to 1048576, got 259/],
    [{ maxPieceLength: 0 }, /maxPieceLength must be/],
    [{ characterCoverage: 0 }, /characterCoverage must be more than 0 and at most 1, got 0/],
  ]
  for (const [options, message] of cases) t.throws(learn(options), { name: "RangeError", message })
})

// ---- The command, and SentencePiece itself ------------------------------------------------------

const run = (...args: string[]): string =>
  execFileSync(process.execPath, [elm, "tokenizer", ...args], { encoding: "utf8" })

t.test("elm tokenizer train writes what encode and decode take", async (t) => {
  const [text, out] = [join(dir, "text.txt"), join(dir, "tokenizer.model")]
  writeFileSync(text, english)
  const printed = run("train", text, "--out", out, "--vocab-size", "700")
  t.match(printed, /700 pieces from \d\.\d\d KiB in \d\.\d s, \d\.\d\d bytes a token/)
  const tokenizer = await loadTokenizer(dir)
  t.equal(tokenizer.vocabSize, 700)
  const ids = run("encode", "the licence, é", "--tokenizer", dir).trim()
  t.equal(ids, tokenizer.encode("the licence, é").join(" "))
  t.equal(run("decode", ...ids.split(" "), "--tokenizer", dir), "the licence, é\n")
})

/** A Python that has SentencePiece: the system's, which may not be the first in the path. */
const python = ["python3", "/usr/bin/python3"].find((name) => {
  try {
    execFileSync(name, ["-c", "import sentencepiece"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})
const skip = python ? false : "no Python with sentencepiece: install python3-sentencepiece"

t.test("SentencePiece reads the model and gives the same ids", { skip }, async (t) => {
  const { model } = learnVocabulary(await counted([english]), { vocabSize: 700 })
  const [path, texts] = [join(dir, "made.model"), join(dir, "texts.json")]
  writeFileSync(path, model)
  const lines = [...english.split("\n").slice(0, 100), "", " ", "  two  spaces ", "é 日本 😀 1984"]
  writeFileSync(texts, JSON.stringify(lines))
  const script = `
import json, sys, sentencepiece
p = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
texts = json.load(open(sys.argv[2], encoding="utf-8"))
ids = [p.encode(text) for text in texts]
sizes = [p.vocab_size(), p.unk_id(), p.bos_id(), p.eos_id(), p.pad_id()]
print(json.dumps([sizes, ids, [p.decode(row) for row in ids]]))`
  const output = execFileSync(python as string, ["-c", script, path, texts], { encoding: "utf8" })
  const [sizes, ids, decoded] = JSON.parse(output)
  t.same(sizes, [700, 0, 1, 2, -1])
  const tokenizer = parseTokenizer(model, "made.model")
  t.same(
    ids,
    lines.map((line) => tokenizer.encode(line)),
  )
  t.same(decoded, lines)
})
