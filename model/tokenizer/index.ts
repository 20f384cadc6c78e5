// Text to token ids and back: SentencePiece's tokenizer.model, tokenizer.json of the Llama and GPT-2
// families, GPT-2's vocab.json with merges.txt, or plain bytes.
import { kindOf } from "../../engine/index.ts"
import { checkWaiting, type Waiting } from "../files/http.ts"
import { type FileSource, treeOf } from "../files/source.ts"
import { type FileTree, readAmong, readIfThere } from "../files/tree.ts"
import { isObject, parseJson } from "../json.ts"
import { printable } from "../printable.ts"
import type { Encode } from "./added.ts"
import { encoderOf } from "./bpe.ts"
import { byteLevel } from "./byte_level.ts"
import { byteModelType, byteTokenizer, checkText, decodeWith } from "./bytes.ts"
import { aroundControls } from "./controls.ts"
import { bytesOfMeaning, pieceMeanings, pieceStreamOf, type TextStream } from "./decode.ts"
import { parseTokenizerJson } from "./json.ts"
import { parseSentencePiece } from "./sentencepiece.ts"
import { mergesFile, tokenizerJsonOf, vocabExtras, vocabFile } from "./vocab_files.ts"
import type { JsonFamily, TokenizerRules, Vocabulary } from "./vocabulary.ts"

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
  /** -1 where texts begin with none, and `eosId` where they end with none. */
  readonly bosId: number
  readonly eosId: number
  /** The padding id: the model's own, or, where it has none, the vocabulary size. */
  readonly padId: number
  /** What to write into a model folder for `loadTokenizer` to make the same tokenizer of it. */
  readonly file: { readonly name: string; readonly bytes: Uint8Array }
  /** The files that it was read from by name, where they were several; they do what `file` does. */
  readonly files?: ReadonlyMap<string, Uint8Array>
  /** Ids of a text, which makes no control tokens unless asked to: "</s>" is four characters. */
  encode(text: string, options?: EncodeOptions): number[]
  /** Text of ids; control tokens and padding are none. Throws RangeError for other ids. */
  decode(ids: Iterable<number>): string
  /** The bytes that a token adds to a text: none for control tokens. Throws RangeError for other ids. */
  bytesOf(id: number): Uint8Array
  /** Decodes token by token: `push` returns the text that is complete so far, whole characters
   *  only; `end` returns the rest. */
  stream(): TextStream
}

/** Files of a folder that a tokenizer is read from, the first that is there; so does transformers. */
export const tokenizerFiles = ["tokenizer.json", "tokenizer.model", vocabFile] as const

/** Files that a tokenizer may need beside the first. */
export const besideTokenizerFiles: readonly string[] = [mergesFile, ...vocabExtras]

/** What a tokenizer is written as into a model's folder. */
export const filesOfTokenizer = ({ file, files }: Tokenizer): ReadonlyMap<string, Uint8Array> =>
  files ?? new Map([[file.name, file.bytes]])

/** Far more than any tokenizer has. */
const maxBytes = 64 << 20

/**
 * Loads a tokenizer.json, a tokenizer.model, a vocab.json with merges.txt beside it, a folder that holds
 * one (the first of these), or "byte"; `file.name` says which it was. Throws Error for files that cannot be read, SyntaxError
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
      ? [name, `it has no tokenizer.model or tokenizer.json, nor ${vocabFile} with ${mergesFile}`]
      : [tree.nameOf(file), "no such file"]
  throw new Error(
    `Cannot open ${printable(String(path), "line")}: ${reason}. Give a tokenizer.model, a tokenizer.json, ` +
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
  if (!first) return undefined
  const [name, bytes] = first
  if (name !== vocabFile) return parseTokenizer(bytes, tree.nameOf(name))
  const beside = await readAmong(besideTokenizerFiles, (file) => readIfThere(tree, file, maxBytes))
  const read = new Map([first, ...beside])
  // Other programs have vocabularies of that name too.
  if (!read.has(mergesFile)) return undefined
  const json = tokenizerJsonOf(read, (file) => tree.nameOf(file))
  return { ...parseTokenizer(json, tree.nameOf(name)), files: read }
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
  if (!isJson) {
    return tokenizerOf(
      sentencePieceRules(parseSentencePiece(bytes, source)),
      "tokenizer.model",
      bytes,
    )
  }
  const json = parseJson(bytes, source)
  const model = isObject(json) ? json.model : undefined
  if (isObject(model) && model.type === byteModelType) return byteTokenizer()
  const { rulesOf } = jsonFamilies.find(({ reads }) => reads(json)) ?? llama
  return tokenizerOf(rulesOf(json, source), "tokenizer.json", bytes)
}

function tokenizerOf(rules: TokenizerRules, name: string, bytes: Uint8Array): Tokenizer {
  const { vocabSize, bosId, eosId, padId, source, stream, meanings } = rules
  let encoder: Encode | undefined
  const special = (id: number, option: string): number => {
    if (id >= 0) return id
    throw new RangeError(`encode: ${source} has no token for ${option}. Leave ${option} out`)
  }
  return {
    vocabSize,
    bosId,
    eosId,
    padId,
    file: { name, bytes },
    encode(text, options = {}) {
      checkText(text, options)
      const { bos = false, eos = false, special: parsed = false } = options
      encoder ??= rules.encoder()
      const ids = bos ? [special(bosId, "bos")] : []
      encoder(text, ids, parsed)
      if (eos) ids.push(special(eosId, "eos"))
      return ids
    },
    decode: (ids) => decodeWith(stream(), ids),
    bytesOf: (id) => bytesOfMeaning(meanings, id, source),
    stream,
  }
}

/** A tokenizer.json lists its special tokens. */
function pieceRules(vocabulary: Vocabulary): TokenizerRules {
  const meanings = pieceMeanings(vocabulary)
  return {
    ...vocabulary,
    vocabSize: vocabulary.pieces.length,
    meanings,
    stream: pieceStreamOf(vocabulary, meanings),
    encoder: () => encoderOf(vocabulary),
  }
}

const llama: JsonFamily = {
  reads: () => true,
  rulesOf: (json, source) => pieceRules(parseTokenizerJson(json, source)),
}

/** The first that reads a tokenizer.json is the one; Llama's says what is wrong with others. */
const jsonFamilies: readonly JsonFamily[] = [byteLevel, llama]

/** Those of a tokenizer.model are its control pieces and the unknown one, as in transformers' fast
 *  tokenizer of Llama. */
const sentencePieceRules = (vocabulary: Vocabulary): TokenizerRules => ({
  ...pieceRules(vocabulary),
  encoder() {
    const plain = encoderOf(vocabulary)
    const controls = vocabulary.pieces.flatMap(({ text, kind }, id): [string, number][] =>
      text !== "" && (kind === "control" || kind === "unknown") ? [[text, id]] : [],
    )
    const around = aroundControls(new Map(controls), plain)
    return (text, out, special) => (special ? around : plain)(text, out)
  },
})
