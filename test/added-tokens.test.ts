// Added tokens: exactly what the `tokenizers` library (Rust) makes of a tokenizer.json, and what
// SentencePiece makes of a user's symbols, whatever characters they hold.
import { createRequire } from "node:module"
import { loadTokenizer, parseTokenizer } from "../index.ts"
import { matcherOf, mostUnits } from "../model/tokenizer/matcher.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"
import { jsonBytes, modelBytes, randomOf, withSpecials } from "./tokenizers.ts"

interface Oracle {
  encode(text: string, pair: null, options: object): Promise<{ getIds(): number[] }>
  decode(ids: number[], skipSpecial: boolean): Promise<string>
}

const { Tokenizer, missing } = oracle()

function oracle(): { Tokenizer: { fromString(json: string): Oracle }; missing?: string } {
  try {
    return createRequire(import.meta.url)("tokenizers")
  } catch (error) {
    const fromString = (): never => {
      throw error
    }
    return { Tokenizer: { fromString }, missing: `run npm ci: ${(error as Error).message}` }
  }
}

// ---- Made tokenizers ----------------------------------------------------------------------------

const below = randomOf(29)
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T
const one = (of: number): boolean => below(of) === 0

const letters = [..."▁abcd<>|-é\n.*+?[](){}^$\\/&~日😀"]
const parts = [...letters, " ", "  ", "\t", "--", "&&", "bot", "\u0085", "\u00a0"]
const others = ["x", "_", "1", "z\u0308", "\ufeff", "\u200d"]

const flags = () => ({
  single_word: one(5),
  lstrip: one(4),
  rstrip: one(4),
  normalized: one(3),
  special: one(5),
})

/** Some words of a vocabulary, and merges that make them. */
function vocabulary(withBytes: boolean) {
  const known = letters.filter((letter) => letter === "▁" || !one(6))
  const merges: [string, string][] = []
  for (let k = 0; k < 14; k++) {
    const [a, b] = [pick(known), pick(known)]
    if (a.length + b.length > 6 || known.includes(a + b)) continue
    merges.push([a, b])
    known.push(a + b)
  }
  const specials = withSpecials([]).map(({ text }) => text)
  return { vocab: [...specials.slice(0, withBytes ? 259 : 3), ...known], known, merges }
}

function addedTokens(vocab: readonly string[], known: readonly string[]) {
  const added = vocab.slice(0, 3).map((content, id) => {
    const no = { single_word: false, lstrip: false, rstrip: false, normalized: false }
    return { id, content, ...no, special: true }
  })
  let next = vocab.length
  for (let k = 0; k < 1 + below(6); k++) {
    const made = Array.from({ length: 1 + below(4) }, () => pick(parts)).join("")
    const content = one(5) ? pick(known) : made
    if (added.some((token) => token.content === content)) continue
    const at = vocab.indexOf(content)
    added.push({ id: at < 0 ? next++ : at, content, ...flags() })
  }
  return added
}

const prepend = { type: "Prepend", prepend: "▁" }
const replace = { type: "Replace", pattern: { String: " " }, content: "▁" }

/** Where spaces go: by the normalizer, by the pre_tokenizer, or by both. */
function spaces() {
  const normalizer = pick([
    { type: "Sequence", normalizers: [prepend, replace] },
    replace,
    prepend,
    null,
  ])
  const needsWords = normalizer === prepend || normalizer === null
  const prepend_scheme = pick(["first", "always", "never"])
  const words = { type: "Metaspace", replacement: "▁", prepend_scheme, split: one(2) }
  return { normalizer, pre_tokenizer: needsWords || one(3) ? words : null }
}

function madeTokenizer(): { json: Uint8Array; contents: string[] } {
  const byte_fallback = !one(3)
  const { vocab, known, merges } = vocabulary(byte_fallback)
  const added_tokens = addedTokens(vocab, known)
  // Lists of pairs, as merges that hold spaces are written.
  const model = { byte_fallback, fuse_unk: !one(4), merges }
  const json = jsonBytes(vocab, [], { ...spaces(), added_tokens, post_processor: null }, model)
  return { json, contents: added_tokens.map(({ content }) => content) }
}

t.test(
  "added tokens are found as `tokenizers` finds them",
  missing ? { skip: missing } : {},
  async (t) => {
    let wrong = 0
    for (let n = 0; n < 300; n++) {
      const { json, contents } = madeTokenizer()
      const text = new TextDecoder().decode(json)
      const [ours, theirs] = [parseTokenizer(json, "made.json"), Tokenizer.fromString(text)]
      for (let k = 0; k < 12; k++) {
        const words = Array.from({ length: below(14) }, () =>
          pick(one(3) ? contents : [...parts, ...others]),
        )
        const given = words.join("")
        const want = (await theirs.encode(given, null, { addSpecialTokens: false })).getIds()
        const got = ours.encode(given, { special: true })
        if (got.join() === want.join()) continue
        if (wrong++ < 3) t.same(got, want, `${JSON.stringify(given)} with ${text}`)
      }
    }
    t.equal(wrong, 0)
  },
)

t.test(
  "decoding writes added tokens as `tokenizers` does",
  missing ? { skip: missing } : {},
  async (t) => {
    for (const normalized of [true, false]) {
      const content = {
        single_word: false,
        lstrip: false,
        rstrip: false,
        special: false,
        normalized,
      }
      const vocab = [...withSpecials([]).map(({ text }) => text), "▁", "a"]
      const added_tokens = [
        { id: 261, content: " <t>", ...content },
        { id: 262, content: "u", ...content },
      ]
      const json = jsonBytes(vocab, [], { added_tokens, post_processor: null })
      const [ours, theirs] = [
        parseTokenizer(json, "made.json"),
        Tokenizer.fromString(new TextDecoder().decode(json)),
      ]
      for (const ids of [
        [261, 260],
        [262, 260, 262],
        [259, 261],
        [35, 260],
        [259, 259, 260],
      ]) {
        t.equal(ours.decode(ids), await theirs.decode(ids, true), `${ids} ${normalized}`)
      }
    }
  },
)

// ---- Known ids ----------------------------------------------------------------------------------

const token = (content: string, id: number, more: object = {}) => ({ id, content, ...more })
const idsOf = (json: Uint8Array, text: string, options = {}): string =>
  parseTokenizer(json, "made.json").encode(text, options).join(" ")

t.test("a piece of the vocabulary may be an added token too", (t) => {
  const vocab = [...withSpecials([]).map(({ text }) => text), ..."▁ r o b t s bo bot".split(" ")]
  const at = Object.fromEntries(vocab.map((text, id) => [text, id])) as Record<string, number>
  const merges = ["b o", "bo t"]
  for (const special of [false, true]) {
    const more = { added_tokens: [token("bot", at.bot as number, { special })] }
    const json = jsonBytes(vocab, merges, more)
    // A control token, but merging spells it.
    t.equal(
      idsOf(json, "robots", {}),
      special
        ? [at["▁"], at.r, at.o, at.bot, at.s].join(" ")
        : [at["▁"], at.r, at.o, at.bot, at["▁"], at.s].join(" "),
    )
  }
  const other = jsonBytes(vocab, merges, { added_tokens: [token("bot", vocab.length)] })
  t.throws(() => parseTokenizer(other, "made.json"), {
    name: "RangeError",
    message: /"bot" the id 267 as an added token, 266 in model\.vocab/,
  })
  t.end()
})

t.test("special tokens are text unless they are asked for", (t) => {
  const vocab = [...withSpecials([]).map(({ text }) => text), ..."▁ a < e >".split(" ")]
  const json = jsonBytes(vocab, [], {
    added_tokens: [token("<e>", vocab.length, { special: true, rstrip: true }), token("e>", 265)],
  })
  t.equal(idsOf(json, "a<e> \na", { special: true }), "259 260 264 259 260")
  t.equal(idsOf(json, "a<e>", {}), "259 260 261 262 263", "and hide what they overlap")
  t.end()
})

t.test("flags of added tokens that are no flags are refused", (t) => {
  for (const [more, message] of [
    [{ lstrip: 1 }, /added_tokens\[0\]\.lstrip is 1, expected true or false/],
    [{ content: "" }, /added_tokens\[0\]/],
    [{ content: "\ud800" }, /added_tokens\[0\]/],
    [{ content: "x".repeat(mostUnits + 1) }, /added tokens have 4194305 characters/],
  ] as const) {
    const json = jsonBytes(
      ["<unk>"],
      [],
      { added_tokens: [{ id: 1, content: "x", ...more }] },
      { byte_fallback: false },
    )
    t.throws(() => parseTokenizer(json, "made.json"), { message })
  }
  t.end()
})

t.test("a user's symbols are found as SentencePiece finds them", async (t) => {
  const { cases, symbols } = fixtureJson("data/user_symbols.json")
  const tokenizer = await loadTokenizer(fixture("data/user_symbols.model"))
  t.ok(symbols.includes("new york") && symbols.includes("(a|b)*"), symbols.join())
  for (const [text, ids, decoded] of cases as [string, number[], string][]) {
    t.same(tokenizer.encode(text), ids, JSON.stringify(text))
    t.equal(tokenizer.decode(ids), decoded)
  }
})

// ---- Parts --------------------------------------------------------------------------------------

t.test("the matcher finds the leftmost and longest, like trying each at every place", (t) => {
  for (let n = 0; n < 400; n++) {
    const texts = Array.from({ length: 1 + below(8) }, () =>
      Array.from({ length: 1 + below(4) }, () => pick(["a", "b", "😀", "é"])).join(""),
    )
    const text = Array.from({ length: below(30) }, () =>
      pick(["a", "b", "b", "😀", "é", "c"]),
    ).join("")
    const want: [number, number, string][] = []
    for (let i = 0; i < text.length; i++) {
      const fits = texts.filter((x) => text.startsWith(x, i))
      if (fits.length === 0) continue
      const longest = fits.reduce((a, b) => (b.length > a.length ? b : a))
      want.push([i, i + longest.length, longest])
      i += longest.length - 1
    }
    const got = [...matcherOf(texts)(text)].map(({ start, end, index }) => [
      start,
      end,
      texts[index],
    ])
    t.same(got, want, JSON.stringify({ texts, text }))
  }
  t.end()
})

t.test("pieces of thousands of characters merge as short ones do", (t) => {
  const run = (length: number): string => "a".repeat(length)
  const lengths = Array.from({ length: 1500 }, (_, i) => i + 1)
  // Of one piece for every length the shorter merge first, so that only 1, 2, 4, 8 … are ever made.
  const pieces = withSpecials(lengths.map((length) => ({ text: run(length), score: -length })))
  const tokenizer = parseTokenizer(modelBytes(pieces, {}, { 3: 0 }), "long.model")
  const sizes = (text: string): number[] => tokenizer.encode(text).map((id) => id - 258)
  t.same(sizes(run(4096)), [1024, 1024, 1024, 1024])
  const [first, ...rest] = [run(7000), "b", "ab"].map((text, i) => ({ text, score: -i }))
  const long = withSpecials([
    ...rest,
    { text: "a", score: 0 },
    first as { text: string; score: number },
  ])
  const other = parseTokenizer(modelBytes(long, {}, { 3: 0 }), "long.model")
  t.equal(other.encode(`${run(7000)}b`).length, 7000, "no two pieces make the long one")
  t.end()
})
