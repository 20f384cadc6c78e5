// `elm generate`: writes the prompt and what a model makes of it to the standard output, as it
// comes, and on the standard error how fast that was.
import { existsSync } from "node:fs"
import { join } from "node:path"
import {
  OpenELM,
  printable,
  shippedModel,
  type Tokenizer,
  threeDigits,
  treeOf,
} from "../model/index.ts"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import { notNegative, path, probability, seed, texts, usageError, whole } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { positional, under, type ValuesOf, valued } from "./line/flags.ts"
import { openFor } from "./line/open.ts"
import { cache, folderDtype, headings, machine } from "./line/options.ts"
import { bold } from "./terminal/colour.ts"
import { whileRunning } from "./terminal/ending.ts"
import { standardInput } from "./terminal/files.ts"
import { reporter } from "./terminal/progress.ts"
import { sayWhich } from "./terminal/which.ts"

const defaultNewTokens = 256

const flags = {
  ...under(headings.model, {
    model: valued("<folder>", "a model folder or URL, default the package's model", path),
    tokenizer: valued("<path>", 'another tokenizer than the folder\'s, or "byte"', path),
    dtype: folderDtype,
    cache,
  }),
  ...under(headings.text, {
    maxNewTokens: valued(
      "<n>",
      `tokens to generate at most, default ${defaultNewTokens} or what the context holds`,
      whole(1),
    ),
    temperature: valued("<x>", "0 takes the likeliest token, default 0.8 *", notNegative),
    topK: valued("<n>", "only the k likeliest tokens, 0, the default *, for all", whole(0)),
    topP: valued(
      "<x>",
      "only the likeliest tokens of this probability, default 0.95 *",
      probability,
    ),
    seed: valued("<n>", "seed of the sampling, default a new one", seed),
    stop: valued("<text>", "end before this text, of several tokens too; repeatable", texts),
  }),
  ...machine,
}

type Values = ValuesOf<typeof flags>

export const generate = command({
  name: "generate",
  description: "continue a text with a model",
  arguments: [
    positional("<prompt>", 'the text to continue, or "-" to read it from the standard input'),
  ],
  flags,
  after:
    "* or what the model's generation_config.json says\n\nExamples:\n" +
    '  elm generate "It is a truth universally acknowledged" --seed 1\n' +
    "  elm generate --model elm-run --temperature 0 --max-new-tokens 50 - < prompt.txt",
  async run(flags, { args: [argument] }) {
    const { dtype, cache, tokenizer } = flags
    const folder = flags.model === undefined ? await shippedModel() : await modelIn(flags.model)
    // The line break that ends a file or an `echo` is no part of the text.
    const prompt = argument === "-" ? (await standardInput()).replace(/\r?\n$/, "") : argument
    const report = reporter()
    report("loading")
    try {
      await using backend = await openFor(flags)
      await using model = await OpenELM.load(folder, { backend, dtype, cache, tokenizer })
      report.done()
      if (!model.tokenizer) {
        throw new Error(`${folder} has no tokenizer. Give one with --tokenizer PATH`)
      }
      await sayWhich(tokenizer ?? folder, model.tokenizer)
      console.error(printable(await write(model, model.tokenizer, prompt, flags)))
    } finally {
      report.done()
    }
  },
})

/** The folder itself, or the newest checkpoint of a run's. Throws Error where nothing is there. */
async function modelIn(folder: string): Promise<string> {
  // What is on no disk has no runs; loading it says what is wrong.
  if (treeOf(folder).path === undefined) return folder
  if (!existsSync(folder)) {
    throw new Error(
      `There is nothing at ${folder}. Give a model folder, or that of a run, by --model`,
    )
  }
  if (existsSync(join(folder, "config.json"))) return folder
  return (await checkpointsIn(folder)).at(-1) ?? folder
}

/** How many tokens to ask for. Throws, as wrong usage, for more than the context has room for. */
function newTokens({ maxNewTokens }: Values, taken: number, { capacity }: OpenELM): number {
  const room = capacity - taken
  if (maxNewTokens === undefined) return Math.max(1, Math.min(defaultNewTokens, room))
  if (maxNewTokens <= room || room < 1) return maxNewTokens
  throw usageError(
    `--max-new-tokens ${maxNewTokens} is more than the context of ${capacity} tokens has room for ` +
      `after the ${taken} of the prompt. Use ${room} or less`,
  )
}

/** Writes the text as it comes. Returns how many tokens it took, how fast, from which seed. */
async function write(
  model: OpenELM,
  tokenizer: Tokenizer,
  prompt: string,
  flags: Values,
): Promise<string> {
  const { topK, stop, seed = Math.floor(Math.random() * 2 ** 32) } = flags
  const maxNewTokens = newTokens(flags, tokenizer.encode(prompt).length + 1, model)
  const control = new AbortController()
  const { signal } = control
  let isClosed = false
  const done = whileRunning((reason) => {
    isClosed = reason === "closed"
    control.abort()
  })
  // What a model writes may hold anything; programs get it as it is, a terminal what is safe.
  const shown = process.stdout.isTTY ? printable : (text: string) => text
  // What the model's folder says of sampling comes before the defaults of this command.
  const saysHow = model.config.generation?.doSample !== undefined
  const { temperature = saysHow ? undefined : 0.8, topP = saysHow ? undefined : 0.95 } = flags
  const options = { maxNewTokens, temperature, topK, topP, seed, stop, signal }
  const start = performance.now()
  let first = start
  let count = 0
  let others = 0
  let output = bold(shown(prompt))
  try {
    for await (const { id, text } of model.generate(prompt, options)) {
      if (id >= tokenizer.vocabSize) others++
      if (count++ === 0) first = performance.now()
      process.stdout.write(output + shown(text))
      output = ""
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    done()
  }
  if (!isClosed) process.stdout.write("\n")
  checkPieces(others, count, tokenizer, model)
  const rate = count > 1 ? (1000 * (count - 1)) / (performance.now() - first) : 0
  return (
    `${count} tokens, ${threeDigits(rate)} tokens/s; ` +
    `first after ${(first - start).toFixed(0)} ms; seed ${seed}`
  )
}

/** Throws RangeError where most of what a model says has no piece in the tokenizer. */
function checkPieces(others: number, count: number, tokenizer: Tokenizer, { config }: OpenELM) {
  if (2 * others <= count) return
  throw new RangeError(
    `${others} of ${count} tokens of ${config.name}, whose vocabulary is ${config.vocabSize}, are none ` +
      `of the tokenizer's ${tokenizer.vocabSize} pieces. Give the tokenizer that it was trained with`,
  )
}
