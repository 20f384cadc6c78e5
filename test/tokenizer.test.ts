// The tokenizers: exact on SentencePiece's own results, on the Llama-2 vocabulary, and on what the
// definition of byte-pair merging gives.

import { loadTokenizer, parseTokenizer } from "../index.ts"
import { parseSentencePiece } from "../model/tokenizer/sentencepiece.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"
import {
  llama,
  llamaTokenizers,
  modelBytes,
  naiveIds,
  randomOf,
  type ScoredPiece,
  withSpecials,
} from "./tokenizers.ts"

interface Case {
  readonly text: string
  readonly ids: readonly number[]
  readonly pieces: readonly string[]
  readonly decoded: string
  readonly ftfy_nfc: string
  readonly ids_after_ftfy: readonly number[]
}

const golden = fixtureJson("data/tokenizer_cases.json")
const tinyPath = fixture("data/tiny.model")

t.test("a SentencePiece model gives SentencePiece's ids, pieces and text", async (t) => {
  const tiny = await loadTokenizer(tinyPath)
  const { pieces } = parseSentencePiece(tiny.file.bytes, "tiny.model")
  t.same(
    pieces.map(({ text, kind }) => [text, kind]),
    golden.pieces.map(([text, , kind]: [string, number, string]) => [text, kind]),
  )
  t.same([tiny.vocabSize, tiny.bosId, tiny.eosId, tiny.padId], [420, 1, 2, 420])
  for (const { text, ids, decoded, ...rest } of golden.cases as Case[]) {
    t.same(tiny.encode(text), ids, JSON.stringify(text))
    t.same(ids.map((id) => pieces[id]?.text).join(), rest.pieces.join())
    t.equal(tiny.decode(ids), decoded)
    t.same(tiny.encode(rest.ftfy_nfc), rest.ids_after_ftfy)
    t.same(tiny.encode(text, { bos: true, eos: true }), [1, ...ids, 2])
  }
})

t.test("decoding drops the first space once, and marks each invalid byte", async (t) => {
  const tiny = await loadTokenizer(tinyPath)
  const byte = (...bytes: number[]): number[] => bytes.map((b) => 3 + b)
  // What SentencePiece 0.1.97 gives for the same ids.
  const cases: readonly [readonly number[], string][] = [
    [[382], ""],
    [[382, 265], " the"],
    [[1, 382, 2, 382, 265], "  the"],
    [[1, 265, 2, 265], "the the"],
    [[0, 265], " ⁇  the"],
    [[265, 0, 265], "the ⁇  the"],
    [[...byte(0x41), 265], "A the"],
    [[...byte(0x20), 265], "  the"],
    [byte(0xc3, 0xa9), "é"],
    [[...byte(0xe2, 0x80), 384], "��a"],
    [[...byte(0xf0, 0x9f, 0x98), 382], "��� "],
    [byte(0xed, 0xa0, 0x80), "���"],
    [byte(0xc0, 0x80), "��"],
    [byte(0xef, 0xbf, 0xbd), "�"],
    [byte(0), "\0"],
    [[420, 420], ""],
  ]
  for (const [ids, text] of cases) t.equal(tiny.decode(ids), text, ids.join())
  for (const id of [-1, 421, 1.5, Number.NaN]) {
    t.throws(() => tiny.decode([id]), { name: "RangeError", message: /lie in 0 … 420, got/ })
  }
  t.throws(() => tiny.encode(7 as never), { name: "TypeError", message: /expected a text/ })
  t.same(tiny.encode("a\ud800b"), tiny.encode("a\ufffdb"), "half a character")
})

// ---- Llama 2 ------------------------------------------------------------------------------------

const llamas = llamaTokenizers()

/** Texts of several kinds: Unicode at random, pieces, runs of spaces, ASCII. */
function* randomTexts(count: number, seed: number): Generator<string> {
  const below = randomOf(seed)
  const pieces = llama.vocabById.slice(259).map((piece) => piece.replaceAll("▁", " "))
  const piece = (): string => pieces[below(pieces.length)] as string
  const ranges = [
    [1, 128],
    [1, 0x3000],
    [1, 0xd800],
    [0x1f000, 0x1000],
  ] as const
  const code = (): string => {
    const [from, size] = ranges[below(4)] as readonly [number, number]
    return String.fromCodePoint(from + below(size - 1))
  }
  const kinds = [
    code,
    piece,
    () => " ".repeat(below(30)) + piece(),
    () => String.fromCharCode(32 + below(96)) + (below(4) > 0 ? "" : " "),
  ]
  for (let n = 0; n < count; n++) {
    const next = kinds[n % kinds.length] as () => string
    yield Array.from({ length: 1 + below(40) }, next).join("")
  }
}

t.test("the Llama-2 vocabulary gives the ids of llama-tokenizer-js, from either format", (t) => {
  const given = ["a", " ", "  two", "grabbed", "           grabbed", "ax\n####\nboo", "镇", "🦙Ꙋ"]
  const texts = [...given, ...(golden.cases as Case[]).map(({ text }) => text)]
  let wrong = 0
  let decoded = 0
  for (const text of [...texts, ...randomTexts(4000, 5)]) {
    const want = llama.encode(text, false, true).join()
    for (const tokenizer of Object.values(llamas)) {
      const ids = tokenizer.encode(text)
      if (ids.join() !== want) wrong++
      if (tokenizer.decode(ids) === text.replaceAll("▁", " ")) decoded++
    }
  }
  t.equal(wrong, 0)
  t.equal(decoded, 2 * (texts.length + 4000))
  t.end()
})

t.test("the time of a text without a break grows with its length, not its square", (t) => {
  const below = randomOf(3)
  const letters = Array.from({ length: 4e5 }, () => String.fromCharCode(97 + below(26)))
  const words = ["a".repeat(4e5), " ".repeat(4e5), "ab".repeat(2e5), letters.join("")]
  /** By a tokenizer that has no word of the text in mind yet, but its tables. */
  const timeOf = (text: string): number => {
    const tokenizer = parseTokenizer(llamas.model.file.bytes, "llama.model")
    tokenizer.encode("a")
    const start = performance.now()
    tokenizer.encode(text)
    return performance.now() - start
  }
  for (const word of words) {
    t.equal(llamas.model.decode(llamas.model.encode(word)), word)
    const parts = [1, 10, 100].map((part) => word.slice(0, word.length / part))
    const least = (text: string) => Math.min(timeOf(text), timeOf(text))
    const [whole = 0, tenth = 0, hundredth = 0] = parts.map(least)
    // Where memory is fresh from some length on, that step takes longer; a square shows in both.
    const ratio = Math.min(whole / tenth, tenth / hundredth)
    t.ok(ratio < 50, `${word.slice(0, 8)}: ten times the text, ${ratio.toFixed(0)} times the time`)
  }
  t.end()
})

// ---- Exactness ----------------------------------------------------------------------------------

t.test("cutting into words changes nothing, whatever the pieces hold", (t) => {
  const below = randomOf(11)
  const pick = (from: string): string => from[below(from.length)] as string
  for (let n = 0; n < 60; n++) {
    // Pieces of few characters, with spaces anywhere, and scores that repeat.
    const texts = new Set(["▁", "a"])
    for (let k = 0; k < 25; k++) {
      texts.add(Array.from({ length: 2 + below(3) }, () => pick("▁▁abcé日")).join(""))
    }
    const scored = [...texts].map((text): ScoredPiece => ({ text, score: -below(8) }))
    const pieces = withSpecials(scored)
    const tokenizer = parseTokenizer(modelBytes(pieces), "made.model")
    for (let k = 0; k < 20; k++) {
      const text = Array.from({ length: below(30) }, () => pick("   aabbcé日x1")).join("")
      t.same(tokenizer.encode(text), naiveIds(text, pieces), JSON.stringify({ text, n }))
    }
  }
  t.end()
})

t.test("settings: spaces collapse, no prefix, unknown characters, user's pieces", (t) => {
  const normal = ["▁", "a", "b", "▁a", "ab", "aa"].map((text, i) => ({ text, score: -i }))
  const plain = withSpecials(normal)
  const at = (text: string): number => plain.findIndex((piece) => piece.text === text)
  const ids = (bytes: Uint8Array, text: string) => parseTokenizer(bytes, "made").encode(text)
  t.same(ids(modelBytes(plain, {}, { 4: 1 }), "  a   a ▁"), [at("▁a"), at("▁a")])
  t.same(ids(modelBytes(plain, {}, { 4: 1 }), "   "), [])
  t.same(ids(modelBytes(plain, {}, { 3: 0 }), "a a"), [at("a"), at("▁a")])
  t.equal(parseTokenizer(modelBytes(plain, {}, { 3: 0 }), "made").decode([at("▁a")]), " a")
  const noBytes = plain.filter(({ kind }) => kind !== "byte")
  const unknown = parseTokenizer(modelBytes(noBytes, { 35: 0 }), "made")
  t.same(unknown.encode("axyza"), [6, 0, 4], "a run of unknown characters is one piece")
  t.equal(unknown.decode([6, 0, 4]), "a ⁇ a")
  const user = [...plain, { text: "<t>", score: 0, kind: "user" as const }]
  t.same(ids(modelBytes(user), "aa<t>ab"), [at("▁a"), at("a"), user.length - 1, at("ab")])
  t.end()
})
