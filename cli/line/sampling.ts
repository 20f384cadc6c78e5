// How a command that generates chooses tokens: the flags that generate and chat have in common, with the
// defaults of the command line, as options of the library.
import type { CompleteOptions, LanguageModel } from "../../model/index.ts"
import { notNegative, probability, seed, texts, whole } from "./arguments.ts"
import { choice, under, type ValuesOf, valued } from "./flags.ts"
import { choosing, chosenBy, type completing } from "./generation.ts"
import { headings } from "./options.ts"

export const defaultNewTokens = 256

export const samplingFlags = {
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
    overflow: choice(
      "where the context is full: refuse what does not fit, the default, or drop the oldest tokens",
      ["error", "slide"],
    ),
    overflowKeep: valued("<n>", "first tokens that are never dropped, default 4", whole(0)),
    stop: valued("<text>", "end before this text, of several tokens too; repeatable", texts),
  }),
  ...choosing,
}

type Values = ValuesOf<typeof samplingFlags> & Partial<ValuesOf<typeof completing>>

/** What the flags ask for, beside the number of tokens; what the model's folder says of sampling comes
 *  before the defaults of the command line. `promptLength`: tokens before what is generated. */
export async function sampledBy(
  flags: Values,
  model: LanguageModel,
  promptLength: number,
): Promise<CompleteOptions> {
  const { topK, stop, overflow, overflowKeep } = flags
  const { generation } = model.config
  const chosen = await chosenBy(flags, model, promptLength)
  const saysHow = generation?.doSample !== undefined || flags.generateKwargs
  const usual = saysHow ? undefined : isSearch(chosen, model) ? 0 : 0.8
  const { temperature = chosen.temperature ?? usual, topP = saysHow ? undefined : 0.95 } = flags
  const drawn = { temperature, topP: topP ?? chosen.topP, topK: topK ?? chosen.topK }
  const sliding = {
    ...(overflow === undefined ? {} : { overflow }),
    ...(overflowKeep === undefined ? {} : { overflowKeep }),
  }
  return { ...chosen, ...drawn, ...sliding, stop: stop ?? chosen.stop } as CompleteOptions
}

export const isSearch = ({ numBeams }: CompleteOptions, { config }: LanguageModel): boolean =>
  (numBeams ?? config.generation?.numBeams ?? 1) > 1

/** Options of one continuation, which need not be whole. */
export function asStream(options: CompleteOptions): Omit<CompleteOptions, "seed" | "adapter"> {
  const { numBeams, lengthPenalty, earlyStopping, numReturnSequences, ...rest } = options
  const { seed, adapter, ...one } = rest
  return one
}

export const newSeed = (): number => Math.floor(Math.random() * 2 ** 32)
