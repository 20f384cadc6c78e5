// generation_config.json: how a model is meant to generate. What it says takes the place of this
// engine's defaults, and options that are given take the place of both:
//   eos_token_id         the tokens that end a text, in place of config.json's
//   do_sample            true samples; false, or nothing, takes the likeliest token (temperature 0)
//   temperature          where do_sample is true; 1 where the file does not say
//   top_k, top_p         whenever tokens are sampled
//   max_new_tokens       where there is room for them; without it
//   max_length           of the prompt and what follows, one token at least
//   num_beams, length_penalty, early_stopping   where whole continuations are asked for
//   repetition_penalty … the fields of all processors (processors/)
// Fields that are missing or null say nothing, so that no other program's defaults come in with them;
// all others are left alone.
import { isSingle } from "../../engine/index.ts"
import { checkNumber, isObject, show } from "../json.ts"
import { type BeamOptions, checkBeams } from "./beam_options.ts"
import { type ProcessorOptions, processorList } from "./processors/chain.ts"

export const generationFile = "generation_config.json"

/** What a generation_config.json says. */
export interface GenerationDefaults extends ProcessorOptions, BeamOptions {
  readonly eosIds?: readonly number[]
  readonly doSample?: boolean
  readonly maxNewTokens?: number
  /** Tokens of the prompt and of what follows together, where maxNewTokens is not given. */
  readonly maxLength?: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** What the parsed file says. Throws TypeError or RangeError that names `source` and the field. */
export function parseGeneration(
  json: unknown,
  vocabSize: number,
  source: string,
): GenerationDefaults {
  if (!isObject(json)) throw new TypeError(`${source} is ${show(json)}, expected a JSON object`)
  const at = (field: string): string => `${source}: ${field}`
  const found: Mutable<GenerationDefaults> = {
    ...processed(json, vocabSize, at),
  }
  const { eos_token_id, do_sample, max_new_tokens, max_length, temperature, top_k, top_p } = json
  if (has(eos_token_id)) found.eosIds = checkIds(at("eos_token_id"), eos_token_id, vocabSize)
  if (has(do_sample)) {
    if (typeof do_sample !== "boolean") {
      throw new TypeError(`${at("do_sample")} is ${show(do_sample)}, expected true or false`)
    }
    found.doSample = do_sample
  }
  if (has(max_new_tokens)) {
    checkNumber(at("max_new_tokens"), max_new_tokens, 1, Number.MAX_SAFE_INTEGER, true)
    found.maxNewTokens = max_new_tokens
  }
  if (has(max_length)) {
    checkNumber(at("max_length"), max_length, 1, Number.MAX_SAFE_INTEGER, true)
    found.maxLength = max_length
  }
  Object.assign(found, searched(json, at))
  if (has(temperature)) found.temperature = checkSingle(at("temperature"), temperature, 0, Infinity)
  if (has(top_k)) {
    checkNumber(at("top_k"), top_k, 0, Number.MAX_SAFE_INTEGER, true)
    found.topK = top_k
  }
  if (has(top_p)) found.topP = checkSingle(at("top_p"), top_p, Number.MIN_VALUE, 1)
  return found
}

/** What it says of processors that run on the host. */
function processed(
  json: Readonly<Record<string, unknown>>,
  size: number,
  at: (field: string) => string,
): ProcessorOptions {
  const entries = processorList.flatMap(([name, { field, isOnDevice, check }]) => {
    const value = json[field]
    if (isOnDevice || !has(value)) return []
    check(value, at(field), { size, tokenizer: undefined })
    return [[name, value] as const]
  })
  return Object.fromEntries(entries)
}

/** What it says of beams. */
function searched(
  { num_beams, length_penalty, early_stopping }: Readonly<Record<string, unknown>>,
  at: (field: string) => string,
): BeamOptions {
  const given = {
    ...(has(num_beams) ? { numBeams: num_beams as number } : {}),
    ...(has(length_penalty) ? { lengthPenalty: length_penalty as number } : {}),
    ...(has(early_stopping) ? { earlyStopping: early_stopping as boolean } : {}),
  }
  checkBeams(given, {
    numBeams: at("num_beams"),
    lengthPenalty: at("length_penalty"),
    earlyStopping: at("early_stopping"),
  })
  return given
}

/** A number of a range that f32 holds, as sampling is given it. */
function checkSingle(name: string, value: unknown, from: number, to: number): number {
  checkNumber(name, value, from, to, false)
  if (isSingle(value)) return value
  throw new RangeError(`${name} is ${value}, expected a number that f32 holds`)
}

const has = (value: unknown): boolean => value !== undefined && value !== null

/** An id or a list of them as a list without repeats. Throws TypeError or RangeError naming it. */
function checkIds(name: string, given: unknown, vocabSize: number): readonly number[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.length === 0) throw new RangeError(`${name} is [], expected an id or a list of ids`)
  for (const id of list) {
    if (!Number.isInteger(id)) {
      throw new TypeError(`${name} is ${show(given)}, expected an integer or a list of integers`)
    }
    if ((id as number) >= 0 && (id as number) < vocabSize) continue
    throw new RangeError(
      `${name} is ${show(given)}, expected an id below the ${vocabSize} of the vocabulary`,
    )
  }
  return [...new Set(list as readonly number[])]
}

/** The fields of a config that has a list of ends. */
export function checkEnds(name: string, eosIds: unknown, vocabSize: unknown) {
  if (eosIds === undefined) return {}
  const ids = checkIds(name, eosIds, vocabSize as number)
  return { eosId: ids[0] as number, eosIds: ids }
}

/** How `generate` goes on where its options say nothing. */
export function samplingOf({ generation = {} }: { readonly generation?: GenerationDefaults }) {
  const { eosIds, doSample = false, temperature = 1, topK = 0, topP = 1, ...rest } = generation
  return { ...rest, temperature: doSample ? temperature : 0, topK, topP }
}

/** Tokens to generate at most after a prompt of that length, as transformers counts them: one even where
 *  the prompt is as long as max_length already. Undefined where nothing is said. */
export function newTokensOf(
  { maxNewTokens, maxLength }: GenerationDefaults = {},
  promptLength: number,
): number | undefined {
  if (maxNewTokens !== undefined || maxLength === undefined) return maxNewTokens
  return Math.max(1, maxLength - promptLength)
}

/** The file of these defaults, an object for JSON.stringify; `parseGeneration` reads it back. */
export function generationJson(defaults: GenerationDefaults): Record<string, unknown> {
  const { eosIds, doSample, maxNewTokens, maxLength } = defaults
  const { numBeams, lengthPenalty, earlyStopping } = defaults
  const eos_token_id = eosIds?.length === 1 ? eosIds[0] : eosIds
  const fields = processorList.map(([name, { field }]) => [field, defaults[name]])
  return {
    ...{ eos_token_id, do_sample: doSample },
    ...{ max_new_tokens: maxNewTokens, max_length: maxLength },
    ...{ num_beams: numBeams, length_penalty: lengthPenalty, early_stopping: earlyStopping },
    ...Object.fromEntries(fields),
  }
}
