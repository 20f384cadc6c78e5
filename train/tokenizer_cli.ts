// `elm tokenizer`: learns a vocabulary from text files, and shows what a tokenizer makes of a text.
import { open, stat } from "node:fs/promises"
import { type Command, InvalidArgumentError } from "commander"
import { path, paths, probability, whole } from "../bench/arguments.ts"
import { checkWritable, standardInput, writeWhole } from "../bench/files.ts"
import { printable } from "../bench/printable.ts"
import { type Report, reporter } from "../bench/progress.ts"
import { sayWhich } from "../bench/which.ts"
import { bytesText, faultText, loadTokenizer, type Tokenizer, threeDigits } from "../model/index.ts"
import { show } from "../model/json.ts"
import { learnVocabulary } from "./vocabulary/vocabulary.ts"
import { type WordCounter, wordCounter } from "./vocabulary/words.ts"

interface TrainFlags {
  readonly out: string
  readonly vocabSize: number
  readonly characterCoverage: number
  readonly maxPieceLength: number
}

interface UseFlags {
  readonly tokenizer: string
  readonly bos?: boolean
}

/** Adds the ids of an argument, which may hold several: "1 2", "1,2". */
const tokenIds = (text: string, before: readonly number[] = []): readonly number[] => {
  const ids = text.split(/[\s,]+/).filter((id) => id !== "")
  const odd = ids.find((id) => !/^\d+$/.test(id))
  if (odd === undefined) return [...before, ...ids.map(Number)]
  throw new InvalidArgumentError(`Expected token ids, whole numbers from 0, got ${show(odd)}.`)
}

export function addTokenizer(program: Command): void {
  const tokenizer = program.command("tokenizer")
  tokenizer.description("learn a vocabulary from text, encode and decode with one")
  tokenizer
    .command("train")
    .description("learn a byte-pair vocabulary and write it as a SentencePiece model")
    .argument("<files...>", "UTF-8 text files", paths)
    .requiredOption("--out <file>", "the tokenizer.model to write", path)
    .option("--vocab-size <n>", "pieces, 259 of them special", whole(260, 1 << 20), 4096)
    .option("--character-coverage <x>", "part of the characters with a piece", probability, 0.9995)
    .option("--max-piece-length <n>", "most characters of a piece", whole(1, 512), 16)
    .action(train)
  tokenizer
    .command("encode")
    .description("print the token ids of a text")
    .argument("<text>", 'the text, or "-" to read it from the standard input')
    .requiredOption(
      "--tokenizer <path>",
      'tokenizer.model, tokenizer.json, their folder, or "byte"',
      path,
    )
    .option("--bos", "begin with the BOS token")
    .action(encode)
  tokenizer
    .command("decode")
    .description("print the text of token ids")
    .argument("<ids...>", "token ids", tokenIds)
    .requiredOption(
      "--tokenizer <path>",
      'tokenizer.model, tokenizer.json, their folder, or "byte"',
      path,
    )
    .action(decode)
}

async function train(files: readonly string[], flags: TrainFlags): Promise<void> {
  checkWritable(flags.out)
  const report = reporter()
  const start = performance.now()
  const words = wordCounter()
  let bytes = 0
  try {
    for (const file of files) bytes += await countFile(file, words, report)
    const onProgress = (fraction: number) => report("learning", fraction)
    const { model, tokens } = learnVocabulary(words.counts, { ...flags, onProgress })
    await writeWhole(flags.out, model)
    report.done()
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    console.log(
      printable(
        `${flags.out}: ${flags.vocabSize} pieces from ${bytesText(bytes)} in ` +
          `${seconds} s, ${threeDigits(bytes / tokens)} bytes a token on them`,
      ),
    )
  } finally {
    report.done()
  }
}

/** Counts the words of a file, read in parts. Returns its size in bytes. */
async function countFile(path: string, words: WordCounter, report: Report): Promise<number> {
  const found = await stat(path).catch((error) => {
    throw new Error(`Cannot open ${path}: ${faultText(error)}. Give text files`)
  })
  if (!found.isFile()) {
    const kind = found.isDirectory() ? "a folder" : "a pipe or a device"
    throw new Error(`Cannot open ${path}: it is ${kind}. Give text files`)
  }
  const { size } = found
  const file = await open(path, "r")
  try {
    let done = 0
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    const decoded = (bytes?: Uint8Array): string => {
      try {
        return utf8.decode(bytes, { stream: bytes !== undefined })
      } catch {
        throw new SyntaxError(`${path} is not UTF-8 text. Convert or unpack it first`)
      }
    }
    const parts = async function* (): AsyncGenerator<string> {
      const chunks = file.createReadStream({ highWaterMark: 1 << 20, autoClose: false })
      for await (const chunk of chunks as AsyncIterable<Buffer>) {
        yield decoded(chunk)
        done += chunk.length
        report(`reading ${path}`, size > 0 ? done / size : undefined)
      }
      yield decoded()
    }
    await words.add(parts())
    return done
  } finally {
    await file.close()
  }
}

async function encode(text: string, { tokenizer, bos = false }: UseFlags): Promise<void> {
  const { encode } = await loadAndSay(tokenizer)
  console.log(encode(text === "-" ? await standardInput() : text, { bos }).join(" "))
}

async function decode(ids: readonly number[], { tokenizer }: UseFlags): Promise<void> {
  const { decode, vocabSize } = await loadAndSay(tokenizer)
  const beyond = ids.find((id) => id >= vocabSize)
  if (beyond !== undefined) {
    throw new RangeError(`${tokenizer}: token ids lie in 0 … ${vocabSize - 1}, got ${beyond}`)
  }
  // Programs get the text as it is, a terminal what is safe.
  const text = decode(ids)
  console.log(process.stdout.isTTY ? printable(text) : text)
}

async function loadAndSay(path: string): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(path)
  await sayWhich(path, tokenizer)
  return tokenizer
}
