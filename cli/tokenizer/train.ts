// `elm tokenizer train`: learns a vocabulary from text files.
import { open, stat } from "node:fs/promises"
import type { Report } from "../../bench/measure/report.ts"
import { bytesText, faultText, printable, threeDigits } from "../../model/index.ts"
import { learnVocabulary } from "../../train/vocabulary/vocabulary.ts"
import { type WordCounter, wordCounter } from "../../train/vocabulary/words.ts"
import { path, paths, probability, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { positional, required, valued } from "../line/flags.ts"
import { secondsSince } from "../terminal/amounts.ts"
import { checkWritable, writeWhole } from "../terminal/files.ts"
import { reporter } from "../terminal/progress.ts"

export const train = command({
  name: "train",
  description: "learn a byte-pair vocabulary and write it as a SentencePiece model",
  arguments: [positional("<files...>", "UTF-8 text files", paths)],
  flags: {
    out: required(valued("<file>", "the tokenizer.model to write", path)),
    vocabSize: valued("<n>", "pieces, 259 of them special", whole(260, 1 << 20), 4096),
    characterCoverage: valued("<x>", "part of the characters with a piece", probability, 0.9995),
    maxPieceLength: valued("<n>", "most characters of a piece", whole(1, 512), 16),
  },
  async run(flags, { args: [files] }) {
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
      const seconds = secondsSince(start)
      console.log(
        printable(
          `${flags.out}: ${flags.vocabSize} pieces from ${bytesText(bytes)} in ` +
            `${seconds} s, ${threeDigits(bytes / tokens)} bytes a token on them`,
        ),
      )
    } finally {
      report.done()
    }
  },
})

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
