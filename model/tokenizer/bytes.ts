// The byte tokenizer: a token for each byte of UTF-8, and three special ones. Nothing to learn, so
// it serves the smallest experiments.
import { checkObject, kindOf } from "../../engine/index.ts"
import { aroundControls } from "./controls.ts"
import { bytesOfMeaning, streamOf } from "./decode.ts"
import type { Tokenizer } from "./index.ts"

const bosId = 256
const eosId = 257
const padId = 258
const specials = [bosId, eosId, padId]
/** As Llama's are written. */
const controls = new Map([
  ["<s>", bosId],
  ["</s>", eosId],
])

/** What stands in a tokenizer.json for it; no other program knows this type. */
export const byteModelType = "openelm-bytes"

export function byteTokenizer(): Tokenizer {
  const utf8 = new TextEncoder()
  const meanings: (string | number)[] = Array.from({ length: 256 }, (_, byte) => byte)
  meanings.push(...specials.map(() => ""))
  const source = "the byte tokenizer"
  const stream = streamOf(meanings, source)
  const plain = (text: string, out: number[]): void => {
    for (const byte of utf8.encode(text)) out.push(byte)
  }
  const withControls = aroundControls(controls, plain)
  return {
    vocabSize: meanings.length,
    bosId,
    eosId,
    padId,
    file: {
      name: "tokenizer.json",
      bytes: utf8.encode(`${JSON.stringify({ version: "1.0", model: { type: byteModelType } })}\n`),
    },
    encode(text, options = {}) {
      checkText(text, options)
      const { bos = false, eos = false, special = false } = options
      if (!special) return [...(bos ? [bosId] : []), ...utf8.encode(text), ...(eos ? [eosId] : [])]
      const ids = bos ? [bosId] : []
      withControls(text, ids)
      return eos ? [...ids, eosId] : ids
    },
    decode: (ids) => decodeWith(stream(), ids),
    bytesOf: (id) => bytesOfMeaning(meanings, id, source),
    stream,
  }
}

export function decodeWith(stream: ReturnType<Tokenizer["stream"]>, ids: Iterable<number>): string {
  if (typeof ids?.[Symbol.iterator] !== "function") {
    throw new TypeError(`decode: the ids must be a list of numbers, got ${kindOf(ids)}`)
  }
  let text = ""
  for (const id of ids) text += stream.push(id)
  return text + stream.end()
}

/** Throws TypeError for what is no text, or no options of `encode`. */
export function checkText(text: unknown, options: unknown): asserts text is string {
  checkObject("encode: options", options)
  if (typeof text === "string") return
  throw new TypeError(`encode: expected a text, got ${text === null ? "null" : typeof text}`)
}
