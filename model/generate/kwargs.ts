// Generation by the words of transformers: the keyword arguments of its `generate` as options of this
// package's.
import { isObject, show } from "../json.ts"
import type { CompleteOptions } from "./complete.ts"
import type { GenerationDefaults } from "./generation.ts"
import { processorList } from "./processors/chain.ts"

/** Their names that differ from a processor's, and the options that they are. */
const others: Readonly<Record<string, keyof CompleteOptions>> = {
  max_new_tokens: "maxNewTokens",
  num_beams: "numBeams",
  num_return_sequences: "numReturnSequences",
  length_penalty: "lengthPenalty",
  early_stopping: "earlyStopping",
  prompt_lookup_num_tokens: "promptLookupNumTokens",
  max_matching_ngram_size: "maxMatchingNgramSize",
  assistant_early_exit: "assistantEarlyExit",
  num_assistant_tokens: "numAssistantTokens",
  num_assistant_tokens_schedule: "numAssistantTokensSchedule",
}

/** What changes nothing here: rows are not padded, and there always is a cache. */
const idle = ["pad_token_id", "use_cache", "bos_token_id"]

/** What is more than another name. */
const special = ["do_sample", "max_length", "eos_token_id"]

/**
 * The options that keyword arguments of transformers' `generate` are, with its defaults: the likeliest
 * tokens are taken unless `do_sample` is true; then temperature 1, and the 50 likeliest are drawn from.
 * Throws TypeError for names that there are not; values are checked where the options are.
 */
export function optionsOfKwargs(
  kwargs: Readonly<Record<string, unknown>>,
  promptLength: number,
  { doSample = false, temperature = 1, topK = 50 }: GenerationDefaults = {},
): CompleteOptions {
  if (!isObject(kwargs))
    throw new TypeError(`keyword arguments are ${show(kwargs)}, expected names`)
  const byField = new Map<string, string>([
    ...processorList.map(([name, { field }]) => [field, name] as const),
    ...Object.entries(others),
  ])
  const given = Object.entries(kwargs).filter(([, value]) => value !== null && value !== undefined)
  const options: Record<string, unknown> = {}
  for (const [name, value] of given) {
    const option = byField.get(name)
    if (option !== undefined) options[option] = value
    else if (!idle.includes(name) && !special.includes(name)) throw unknown(name, byField)
  }
  const { do_sample, max_length, eos_token_id } = Object.fromEntries(given)
  const isSampled = do_sample ?? doSample
  if (typeof isSampled !== "boolean") {
    throw new TypeError(`do_sample is ${show(isSampled)}, expected true or false`)
  }
  if (typeof max_length === "number") options.maxNewTokens ??= max_length - promptLength
  if (eos_token_id !== undefined) options.stop = [eos_token_id].flat()
  if (isSampled) return { temperature, topK, ...options } as CompleteOptions
  return { ...options, temperature: 0 } as CompleteOptions
}

function unknown(name: string, known: ReadonlyMap<string, string>): TypeError {
  const all = [...special, ...idle, ...known.keys()].sort()
  return new TypeError(`there is no ${show(name)}. There are: ${all.join(", ")}`)
}
