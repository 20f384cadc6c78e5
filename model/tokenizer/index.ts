// Text to token ids and back: SentencePiece's tokenizer.model, the Llama family's tokenizer.json,
// or plain bytes.
import { kindOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { fileIn, isThere, readIfThere } from "../files/disk.ts"
import { checkWaiting, type Waiting } from "../files/http.ts"
import { isRemote } from "../files/remote.ts"
import { isObject, parseJson } from "../json.ts"
import { encoderOf } from "./bpe.ts"
import { byteModelType, byteTokenizer, checkText, decodeWith } from "./bytes.ts"
import { pieceStreamOf, type TextStream } from "./decode.ts"
import { parseTokenizerJson } from "./json.ts"
import { parseSentencePiece } from "./sentencepiece.ts"
import type { Vocabulary } from "./vocabulary.ts"

export type { TextStream } from "./decode.ts"

export interface EncodeOptions {
  /** Begins with the token of that name; default false. */
  readonly bos?: boolean
  /** Ends with the token of that name; default false. */
  readonly eos?: boolean
  /** Whether texts of a tokenizer.json's special tokens make those tokens; default false: text from
   *  others then makes no control token but where merging spells it. */
  readonly special?: boolean
}

export interface Tokenizer {
  readonly vocabSize: number
  /** -1 where the vocabulary has none, as for `eosId`. */
  readonly bosId: number
  readonly eosId: number
  /** The padding id: the model's own, or, where it has none, the vocabulary size. */
  readonly padId: number
  /** What to write into a model folder for `loadTokenizer` to make the same tokenizer of it. */
  readonly file: { readonly name: string; readonly bytes: Uint8Array }
  /** Ids of a text, which makes no control tokens unless asked to: "</s>" is four characters. */
  encode(text: string, options?: EncodeOptions): number[]
  /** Text of ids; control tokens and padding are none. Throws RangeError for other ids. */
  decode(ids: Iterable<number>): string
  /** Decodes token by token: `push` returns the text that is complete so far, whole characters
   *  only; `end` returns the rest. */
  stream(): TextStream
}

/** Files of a folder that a tokenizer is read from, the first that is there; so does transformers. */
export const tokenizerFiles = ["tokenizer.json", "tokenizer.model"] as const

/** Far more than any tokenizer has. */
const maxBytes = 64 << 20

/**
 * Loads a tokenizer.json, a tokenizer.model, a folder that holds one (of both, tokenizer.json), or
 * "byte"; `file.name` says which it was. Throws Error for files that cannot be read, SyntaxError
 * for files that do not parse, RangeError for those that are not supported.
 */
export async function loadTokenizer(path: string, waiting: Waiting = {}): Promise<Tokenizer> {
  if (typeof path !== "string") {
    throw new TypeError(`loadTokenizer: expected a path or "byte", got ${typeof path}`)
  }
  checkWaiting(waiting)
  if (path === "byte") return byteTokenizer()
  const tokenizer = await loadIfThere(path, waiting)
  if (tokenizer) return tokenizer
  const isFile = !(await isFolder(path))
  const reason = isFile ? "no such file" : "it has no tokenizer.model or tokenizer.json"
  throw new Error(
    `Cannot open ${path}: ${reason}. Give a tokenizer.model, a tokenizer.json, ` +
      'a folder with one, or "byte"',
  )
}

/** The tokenizer of a file or a folder, undefined where there is none. */
export async function loadIfThere(
  path: string,
  waiting: Waiting = {},
): Promise<Tokenizer | undefined> {
  for (const file of await candidates(path)) {
    const bytes = await readIfThere(file, maxBytes, waiting)
    if (bytes) return parseTokenizer(bytes, file)
  }
  return undefined
}

/** The tokenizer file of a folder, undefined where it has none; other paths as they are. */
export async function tokenizerIn(path: string): Promise<string | undefined> {
  if (!(await isFolder(path))) return path
  for (const file of await candidates(path)) {
    if (await isThere(file)) return file
  }
  return undefined
}

/** Names of the tokenizers that a folder holds, first the one that is read. */
export async function tokenizersIn(path: string): Promise<string[]> {
  if (path === "byte" || !(await isFolder(path))) return []
  const found: string[] = []
  for (const name of tokenizerFiles) if (await isThere(fileIn(path, name))) found.push(name)
  return found
}

/** Where a tokenizer may be: of a folder its files, else the path itself. Of a URL, whatever does
 *  not end like such a file is a folder. */
const candidates = async (path: string): Promise<readonly string[]> =>
  (await isFolder(path)) ? tokenizerFiles.map((name) => fileIn(path, name)) : [path]

async function isFolder(path: string): Promise<boolean> {
  if (isRemote(path)) return !/\.(model|json)$/.test(new URL(path).pathname)
  const found = await fromNode("node:fs/promises")
    .stat(path)
    .catch(() => undefined)
  return found?.isDirectory() ?? false
}

/** A tokenizer from the bytes of its file, of either format; `source` names it in messages. */
export function parseTokenizer(bytes: Uint8Array, source: string): Tokenizer {
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(`parseTokenizer: the bytes must be a Uint8Array, got ${kindOf(bytes)}`)
  }
  if (typeof source !== "string") {
    throw new TypeError(`parseTokenizer: the source must be a name, got ${kindOf(source)}`)
  }
  const isJson = bytes[0] === 0x7b || (bytes[0] === 0xef && bytes[3] === 0x7b)
  if (!isJson) return tokenizerOf(parseSentencePiece(bytes, source), "tokenizer.model", bytes)
  if (bytes.length < 1000) {
    const json = parseJson(bytes, source)
    const model = isObject(json) ? json.model : undefined
    if (isObject(model) && model.type === byteModelType) return byteTokenizer()
  }
  return tokenizerOf(parseTokenizerJson(bytes, source), "tokenizer.json", bytes)
}

function tokenizerOf(vocabulary: Vocabulary, name: string, bytes: Uint8Array): Tokenizer {
  const { pieces, bosId, eosId, padId, source } = vocabulary
  const stream = pieceStreamOf(vocabulary)
  // Made with the first text: a model that is only given ids needs none of it.
  let encoder: ReturnType<typeof encoderOf> | undefined
  const special = (id: number, option: string): number => {
    if (id >= 0) return id
    throw new RangeError(`encode: ${source} has no token for ${option}. Leave ${option} out`)
  }
  return {
    vocabSize: pieces.length,
    bosId,
    eosId,
    padId,
    file: { name, bytes },
    encode(text, options = {}) {
      checkText(text, options)
      const { bos = false, eos = false, special: parsed = false } = options
      encoder ??= encoderOf(vocabulary)
      const ids = bos ? [special(bosId, "bos")] : []
      encoder(text, ids, parsed)
      if (eos) ids.push(special(eosId, "eos"))
      return ids
    },
    decode: (ids) => decodeWith(stream(), ids),
    stream,
  }
}
