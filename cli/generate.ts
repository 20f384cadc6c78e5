// `elm generate`: writes the prompt and what a model makes of it to the standard output, as it
// comes, and on the standard error how fast that was.
import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Report } from "../bench/measure/report.ts"
import {
  type CompleteOptions,
  type DraftRound,
  type LoadOptions,
  OpenELM,
  printable,
  shippedModel,
  type Tokenizer,
  treeOf,
} from "../model/index.ts"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import { notNegative, path, probability, seed, texts, usageError, whole } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { positional, under, type ValuesOf, valued } from "./line/flags.ts"
import { choosing, chosenBy } from "./line/generation.ts"
import { openFor } from "./line/open.ts"
import { cache, folderDtype, headings, machine } from "./line/options.ts"
import { completed, streamed } from "./terminal/continuation.ts"
import { standardInput } from "./terminal/files.ts"
import { reporter } from "./terminal/progress.ts"
import { sayWhich } from "./terminal/which.ts"

const defaultNewTokens = 256

const flags = {
  ...under(headings.model, {
    model: valued(
      "<folder>",
      "a model folder, a .pt or .gguf file, a URL, or a name on the hub (ORG/NAME[@REVISION]), " +
        "default the package's model",
      path,
    ),
    tokenizer: valued("<path>", 'another tokenizer than the folder\'s, or "byte"', path),
    assistantModel: valued("<folder>", "a smaller model, which guesses what comes", path),
    dtype: folderDtype,
    cache,
    hfAccessToken: valued(
      "<token>",
      "token of the hub for what is gated, default that of HF_TOKEN",
      (text: string) => text,
    ),
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
    prompt: valued("<text>", "the prompt, in place of the argument", (text: string) => text),
  }),
  ...choosing,
  ...machine,
}

type Values = ValuesOf<typeof flags>

export const generate = command({
  name: "generate",
  description: "continue a text with a model",
  arguments: [
    positional("[prompt]", 'the text to continue, or "-" to read it from the standard input'),
  ],
  flags,
  after:
    "* or what the model's generation_config.json says\n\nExamples:\n" +
    '  elm generate "It is a truth universally acknowledged" --seed 1\n' +
    "  elm generate --model elm-run --temperature 0 --max-new-tokens 50 - < prompt.txt",
  async run(flags, { args: [given] }) {
    const argument = promptOf(flags, given)
    const { dtype, cache, tokenizer } = flags
    const folder = flags.model === undefined ? await shippedModel() : await modelIn(flags.model)
    // The line break that ends a file or an `echo` is no part of the text.
    const prompt = argument === "-" ? (await standardInput()).replace(/\r?\n$/, "") : argument
    const report = reporter()
    report("loading")
    try {
      await using backend = await openFor(flags)
      const loading = { ...hubOptions(flags, report), backend, cache }
      await using model = await OpenELM.load(folder, { ...loading, dtype, tokenizer })
      report.done()
      if (!model.tokenizer) throw withoutTokenizer(folder)
      await sayWhich(tokenizer ?? folder, model.tokenizer)
      await using assistantModel = await assistantFor(flags, loading)
      console.error(printable(await write(model, model.tokenizer, prompt, flags, assistantModel)))
    } finally {
      report.done()
    }
  },
})

/** The model that guesses, which needs no tokenizer: it reads the other's tokens. */
async function assistantFor({ assistantModel }: Values, loading: LoadOptions) {
  if (assistantModel === undefined) return undefined
  return OpenELM.load(await modelIn(assistantModel), { ...loading, tokenizer: null })
}

/** A token of the hub, as the original's command takes it, and what is said while files come. */
const hubOptions = ({ hfAccessToken }: Values, report: Report) => ({
  ...(hfAccessToken !== undefined && { token: hfAccessToken }),
  onDownload: (file: string, bytes: number, total: number): void =>
    report(`downloading ${file}`, bytes / total),
})

function withoutTokenizer(folder: string): Error {
  const { remark } = treeOf(folder)
  const more = remark === undefined ? "" : `. ${remark}`
  return new Error(`${folder} has no tokenizer. Give one with --tokenizer PATH${more}`)
}

/** The prompt, which is given once. */
function promptOf({ prompt, json, logprobs }: Values, argument: string | undefined): string {
  if (logprobs !== undefined && !json) throw usageError("--logprobs is printed with --json alone")
  if (prompt !== undefined && argument !== undefined) {
    throw usageError("the prompt is given twice: as an argument and by --prompt")
  }
  const given = prompt ?? argument
  if (given !== undefined) return given
  throw usageError("missing required argument 'prompt'")
}

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

/** How many tokens to ask for: `asked`, or what the model's folder says, unless a flag does. Throws, as
 *  wrong usage, for more than the context has room for. */
function newTokens(
  { maxNewTokens }: Values,
  taken: number,
  { capacity, config }: OpenELM,
  asked = config.generation?.maxNewTokens,
): number {
  const room = capacity - taken
  if (maxNewTokens === undefined) return Math.max(1, Math.min(asked ?? defaultNewTokens, room))
  if (maxNewTokens <= room || room < 1) return maxNewTokens
  throw usageError(
    `--max-new-tokens ${maxNewTokens} is more than the context of ${capacity} tokens has room for ` +
      `after the ${taken} of the prompt. Use ${room} or less`,
  )
}

/** Writes what the model makes of the prompt. Returns how many tokens it took, how fast, from which
 *  seed. */
async function write(
  model: OpenELM,
  tokenizer: Tokenizer,
  prompt: string,
  flags: Values,
  assistantModel: OpenELM | undefined,
): Promise<string> {
  const { topK, stop, seed = Math.floor(Math.random() * 2 ** 32), json } = flags
  const taken = tokenizer.encode(prompt).length + 1
  const chosen = await chosenBy(flags, model, taken)
  const maxNewTokens = newTokens(flags, taken, model, chosen.maxNewTokens)
  // What the model's folder says of sampling comes before the defaults of this command.
  const saysHow = model.config.generation?.doSample !== undefined || flags.generateKwargs
  const isSearch = (chosen.numBeams ?? model.config.generation?.numBeams ?? 1) > 1
  const usual = saysHow ? undefined : isSearch ? 0 : 0.8
  const { temperature = chosen.temperature ?? usual, topP = saysHow ? undefined : 0.95 } = flags
  const drawn = { temperature, topP: topP ?? chosen.topP, topK: topK ?? chosen.topK }
  const rounds: DraftRound[] = []
  const onDraft = (round: DraftRound): unknown => rounds.push(round)
  const guessing = { ...(assistantModel ? { assistantModel } : {}), onDraft }
  const options = { ...chosen, maxNewTokens, ...drawn, ...guessing, stop: stop ?? chosen.stop }
  const isWhole = json || isSearch || (chosen.numReturnSequences ?? 1) > 1
  const { ids, speed } = isWhole
    ? await completed(model, prompt, { ...options, seed }, json === true)
    : await streamed(model, prompt, { ...asStream(options), seed })
  const others = ids.filter((id) => id >= tokenizer.vocabSize).length
  checkPieces(others, ids.length, tokenizer, model)
  return `${ids.length} tokens, ${speed}${guessed(rounds)}; seed ${seed}`
}

/** Options of one continuation, which need not be whole. */
function asStream(options: CompleteOptions): Omit<CompleteOptions, "seed"> {
  const { numBeams, lengthPenalty, earlyStopping, numReturnSequences, seed, ...rest } = options
  return rest
}

/** How many guesses held, in words. */
function guessed(rounds: readonly DraftRound[]): string {
  if (rounds.length === 0) return ""
  const sum = (name: "drafted" | "accepted") => rounds.reduce((all, each) => all + each[name], 0)
  return `; ${sum("accepted")} of ${sum("drafted")} guesses held in ${rounds.length} rounds`
}

/** Throws RangeError where most of what a model says has no piece in the tokenizer. */
function checkPieces(others: number, count: number, tokenizer: Tokenizer, { config }: OpenELM) {
  if (2 * others <= count) return
  throw new RangeError(
    `${others} of ${count} tokens of ${config.name}, whose vocabulary is ${config.vocabSize}, are none ` +
      `of the tokenizer's ${tokenizer.vocabSize} pieces. Give the tokenizer that it was trained with`,
  )
}
