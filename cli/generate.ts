// `elm generate`: writes the prompt and what a model makes of it to the standard output, as it
// comes, and on the standard error how fast that was.
import {
  type CompleteOptions,
  type DraftRound,
  newTokensOf,
  type OpenELM,
  printable,
  type Tokenizer,
  threeDigits,
} from "../model/index.ts"
import { usageError } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { positional, under, type ValuesOf, valued } from "./line/flags.ts"
import { completing } from "./line/generation.ts"
import { modelFlags, type Opened, withModel } from "./line/model.ts"
import { headings, machine } from "./line/options.ts"
import { promptCacheFlag, withPromptCache } from "./line/prompt_cache.ts"
import {
  asStream,
  defaultNewTokens,
  isSearch,
  newSeed,
  sampledBy,
  samplingFlags,
} from "./line/sampling.ts"
import { completed, streamed } from "./terminal/continuation.ts"
import { standardInput } from "./terminal/files.ts"

const flags = {
  ...modelFlags,
  ...samplingFlags,
  ...under(headings.text, {
    prompt: valued("<text>", "the prompt, in place of the argument", (text: string) => text),
  }),
  ...promptCacheFlag,
  ...completing,
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
    // The line break that ends a file or an `echo` is no part of the text.
    const prompt = argument === "-" ? (await standardInput()).replace(/\r?\n$/, "") : argument
    await withModel(flags, async (opened) => {
      const { promptCache: file } = flags
      const written =
        file === undefined
          ? await write(opened, prompt, flags)
          : await withPromptCache(opened.model, file, (promptCache) =>
              write(opened, prompt, flags, { promptCache }),
            )
      console.error(printable(written))
    })
  },
})

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

/** How many tokens to ask for: `asked`, or what the model's folder says, unless a flag does. Throws, as
 *  wrong usage, for more than the context has room for. */
function newTokens(
  { maxNewTokens, overflow }: Values,
  taken: number,
  { capacity, config }: OpenELM,
  asked = newTokensOf(config.generation, taken),
): number {
  const room = overflow === "slide" ? Number.MAX_SAFE_INTEGER : capacity - taken
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
  { model, tokenizer, assistantModel }: Opened,
  prompt: string,
  flags: Values,
  kept: Pick<CompleteOptions, "promptCache"> = {},
): Promise<string> {
  const { seed = newSeed(), json } = flags
  const taken = tokenizer.encode(prompt).length + 1
  const sampling = await sampledBy(flags, model, taken)
  const maxNewTokens = newTokens(flags, taken, model, sampling.maxNewTokens)
  const rounds: DraftRound[] = []
  const onDraft = (round: DraftRound): unknown => rounds.push(round)
  const guessing = { ...(assistantModel ? { assistantModel } : {}), onDraft }
  const options = { ...sampling, maxNewTokens, ...guessing, ...kept }
  const isWhole = json || isSearch(sampling, model) || (sampling.numReturnSequences ?? 1) > 1
  const { ids, speed } = isWhole
    ? await completed(model, prompt, { ...options, seed }, json === true)
    : await streamed(model, prompt, { ...asStream(options), seed })
  const others = ids.filter((id) => id >= tokenizer.vocabSize).length
  checkPieces(others, ids.length, tokenizer, model)
  return `${ids.length} tokens, ${speed}${guessed(rounds)}; seed ${seed}`
}

/** How many guesses held, in words, and how many tokens a run of the model gave, which is one without. */
function guessed(rounds: readonly DraftRound[]): string {
  if (rounds.length === 0) return ""
  const sum = (name: "drafted" | "accepted") => rounds.reduce((all, each) => all + each[name], 0)
  const accepted = sum("accepted")
  const each = threeDigits((accepted + rounds.length) / rounds.length)
  return `; ${accepted} of ${sum("drafted")} guesses held in ${rounds.length} rounds, ${each} tokens a round`
}

/** Throws RangeError where most of what a model says has no piece in the tokenizer. */
function checkPieces(others: number, count: number, tokenizer: Tokenizer, { config }: OpenELM) {
  if (2 * others <= count) return
  throw new RangeError(
    `${others} of ${count} tokens of ${config.name}, whose vocabulary is ${config.vocabSize}, are none ` +
      `of the tokenizer's ${tokenizer.vocabSize} pieces. Give the tokenizer that it was trained with`,
  )
}
