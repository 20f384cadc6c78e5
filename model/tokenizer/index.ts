// Text to token ids and back: SentencePiece's tokenizer.model, the Llama family's tokenizer.json,
// or plain bytes.
import { kindOf } from "../../engine/index.ts"
import { checkWaiting, type Waiting } from "../files/http.ts"
import { type FileSource, treeOf } from "../files/source.ts"
import { type FileTree, readAmong, readIfThere } from "../files/tree.ts"
import { isObject, parseJson } from "../json.ts"
import { encoderOf } from "./bpe.ts"
import { byteModelType, byteTokenizer, checkText, decodeWith } from "./bytes.ts"
import { aroundControls } from "./controls.ts"
import { pieceStreamOf, type TextStream } from "./decode.ts"
import { parseTokenizerJson } from "./json.ts"
import { parseSentencePiece } from "./sentencepiece.ts"
import type { Vocabulary } from "./vocabulary.ts"

export type { TextStream } from "./decode.ts"

/** How a text becomes ids. */
export interface EncodeOptions {
  /** Begins with the token of that name; default false. */
  readonly bos?: boolean
  /** Ends with the token of that name; default false. */
  readonly eos?: boolean
  /** Whether texts of special tokens ("</s>") make those tokens; default false: text from others then
   *  makes no control token but where merging spells it. */
  readonly special?: boolean
}

/** Turns text into ids of a vocabulary, and back. */
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
export async function loadTokenizer(source: FileSource, waiting: Waiting = {}): Promise<Tokenizer> {
  checkWaiting(waiting)
  if (source === "byte") return byteTokenizer()
  const tree = treeOf(source, waiting, 'loadTokenizer: the path or "byte"')
  const { name, file, remark } = tree
  const tokenizer = await tokenizerAmong(tree, file === undefined ? tokenizerFiles : [file])
  if (tokenizer) return tokenizer
  const [path, reason] =
    file === undefined
      ? [name, `it has no ${tokenizerFiles.toReversed().join(" or ")}`]
      : [tree.nameOf(file), "no such file"]
  throw new Error(
    `Cannot open ${path}: ${reason}. Give a tokenizer.model, a tokenizer.json, ` +
      `a folder with one, or "byte"${remark === undefined ? "" : `. ${remark}`}`,
  )
}

/** The tokenizer of a folder, undefined where it has none. */
export const folderTokenizer = (tree: FileTree): Promise<Tokenizer | undefined> =>
  tokenizerAmong(tree, tokenizerFiles)

async function tokenizerAmong(
  tree: FileTree,
  files: readonly string[],
): Promise<Tokenizer | undefined> {
  const [first] = await readAmong(files, (file) => readIfThere(tree, file, maxBytes), 1)
  return first && parseTokenizer(first[1], tree.nameOf(first[0]))
}

/** The tokenizer file of a folder, undefined where it has none; other paths as they are. */
export async function tokenizerIn(path: string): Promise<string | undefined> {
  const tree = treeOf(path)
  if (tree.file !== undefined) return path
  const [first] = await namesIn(tree)
  return first && tree.nameOf(first)
}

/** Names of the tokenizers that a folder holds, first the one that is read. */
export async function tokenizersIn(path: string): Promise<string[]> {
  const tree = treeOf(path)
  return path === "byte" || tree.file !== undefined ? [] : namesIn(tree)
}

async function namesIn(tree: FileTree): Promise<string[]> {
  const found = await readAmong(tokenizerFiles, async (name) => (await tree.has(name)) || undefined)
  return found.map(([name]) => name)
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
  let encoder: Encoders | undefined
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
      encoder ??= encodersOf(vocabulary, name)
      const ids = bos ? [special(bosId, "bos")] : []
      encoder[parsed ? "special" : "plain"](text, ids)
      if (eos) ids.push(special(eosId, "eos"))
      return ids
    },
    decode: (ids) => decodeWith(stream(), ids),
    stream,
  }
}

type Encoders = ReturnType<typeof encodersOf>

/** A tokenizer.json lists its special tokens; of a tokenizer.model, they are its control pieces and the
 *  unknown one, as in transformers' fast tokenizer of Llama. */
function encodersOf(vocabulary: Vocabulary, name: string) {
  const encode = encoderOf(vocabulary)
  const plain = (text: string, out: number[]): void => encode(text, out)
  if (name === "tokenizer.json") {
    return { plain, special: (text: string, out: number[]): void => encode(text, out, true) }
  }
  const controls = vocabulary.pieces.flatMap(({ text, kind }, id): [string, number][] =>
    text !== "" && (kind === "control" || kind === "unknown") ? [[text, id]] : [],
  )
  return { plain, special: aroundControls(new Map(controls), plain) }
}
