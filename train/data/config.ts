// What a pipeline reads and how: the fields of a YAML file or an object, their defaults and checks.
// The release's own YAML layout is read too. Which files the sources name is left to files.ts.
import { fromNode } from "../../engine/node.ts"
import { inCode, inFile, type Spelling } from "../spelling.ts"
import type { Normalization } from "./normalize.ts"

/** One file, a folder of files, or files numbered by a template. */
export interface Source {
  /** A path, relative to `root`; `{file_id:05d}` in it stands for each number of the range. */
  readonly fileName: string
  /** The column or key that holds the text. Default "text". */
  readonly textKey?: string
  /** [a, b): b itself is left out, as in the release. */
  readonly fileIdRange?: readonly [number, number]
  /** In .txt files: is the file one document (default), or each paragraph, or each line? */
  readonly documents?: "file" | "paragraphs" | "lines"
}

/** What a user writes; a string in `sources` stands for `{ fileName }`. */
export interface DataOptions {
  readonly sources: readonly (string | Source)[]
  /** Read in order, once, by a pipeline with `split: "validation"`. Default none. */
  readonly validation?: readonly (string | Source)[]
  /** The part of the sources, piece by piece, that training leaves out and validation reads where
   *  there are no sources of its own. Default 0. */
  readonly holdOut?: number
  /** Where relative paths start. Default: the folder of the YAML file, or the working folder. */
  readonly root?: string
  /** A tokenizer.model, a tokenizer.json, a folder that holds one, or "byte". */
  readonly tokenizer?: string
  /** Tokens of a sample's inputs. Default 2048. */
  readonly sequenceLength?: number
  /** Documents are cut into pieces of so many words, between single spaces. Default 2048. */
  readonly wordsPerPiece?: number
  /** Shorter pieces are left out, counted after cleaning; documents with `pack`. Default 200 or 0. */
  readonly minCharacters?: number
  /** Likewise in tokens, BOS and EOS included. Default 256, with `pack` 0. */
  readonly minTokens?: number
  /** Rows of a Parquet file that are decoded at a time, where its index allows. Default 1024. */
  readonly readerChunkSize?: number
  /** Are the files shuffled before the first epoch? (Later epochs always are.) Default true. */
  readonly shuffleData?: boolean
  readonly seed?: number
  /** "none", "nfc" or "ftfy", the original's. Default "ftfy". */
  readonly normalization?: Normalization
  /** Documents one after the other in full windows, instead of one piece and padding. */
  readonly pack?: boolean
  /** With `pack`: so many windows at a time are shuffled; 1 keeps their order. Default 1024. */
  readonly shuffleWindows?: number
  /** At a record or file that cannot be read: stop with an error, or skip and count it. */
  readonly onError?: "stop" | "skip"
  /** Threads that read and tokenize, each its own share; 0 is the caller's. Default 1. */
  readonly workers?: number
  /** Samples in a row from one worker; the batch size gives the original's order. Default 1. */
  readonly interleave?: number
  /**
   * What ranks and workers share out. "files", the default and the original's: each opens its own,
   * and some twice where they do not come out even. "documents", with `pack` the default: each opens
   * all and tokenizes its part, a long document in runs of 64 pieces; right for few files.
   */
  readonly shardBy?: "files" | "documents"
}

/** A checked configuration with every default filled in. */
export type DataConfig = Required<Omit<DataOptions, "sources" | "validation" | "tokenizer">> & {
  readonly sources: readonly CheckedSource[]
  readonly validation: readonly CheckedSource[]
  readonly tokenizer: string | undefined
}

/** A source with its defaults. */
export type CheckedSource = Required<Omit<Source, "fileIdRange">> & Pick<Source, "fileIdRange">

/**
 * Checks a configuration: an object, the path of a YAML file, or the path of a text file or folder.
 * Throws TypeError, RangeError or SyntaxError that names the field.
 */
export async function loadDataConfig(input: string | DataOptions): Promise<DataConfig> {
  const { dirname, resolve } = fromNode("node:path")
  if (typeof input !== "string") return checkConfig(input, "data", resolve("."), inCode)
  if (!/\.ya?ml$/i.test(input))
    return checkConfig({ sources: [input] }, "data", resolve("."), inCode)
  const { readYaml } = await import("../../model/files/yaml.ts")
  return checkConfig(await readYaml(input), input, resolve(dirname(input)), inFile)
}

async function checkConfig(
  json: unknown,
  from: string,
  root: string,
  spelled: Spelling,
): Promise<DataConfig> {
  const { checkFields } = await import("./schema.ts")
  const { checkNames } = await import("./files.ts")
  const fields = checkFields(json, from, spelled)
  const { resolve } = fromNode("node:path")
  const { pack, tokenizer } = fields
  for (const source of [...fields.sources, ...fields.validation])
    checkNames(source, `${from}: `, spelled)
  return {
    ...fields,
    root: resolve(root, fields.root),
    tokenizer: tokenizer && tokenizer !== "byte" ? resolve(root, tokenizer) : tokenizer,
    minCharacters: fields.minCharacters ?? (pack ? 0 : 200),
    minTokens: fields.minTokens ?? (pack ? 0 : 256),
    shardBy: fields.shardBy ?? (pack ? "documents" : "files"),
  }
}
