// Whole continuations in one call: of one prompt or of many, each once or several times.
import { checkWhole } from "../../engine/index.ts"
import { show } from "../json.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import { type Completion, type Echo, Growing, type Request } from "./completion.ts"
import { type Logprobs, likelihood } from "./host.ts"
import { isList } from "./ids.ts"
import { checkOptions, type GenerateOptions } from "./options.ts"
import { chunkOf } from "./prefill.ts"
import { Sequence } from "./sequence.ts"
import { type Source, sessionOf } from "./source.ts"
import { wholeStream } from "./stream.ts"
import { continuation, promptIds } from "./text.ts"
import { completeTogether } from "./together.ts"

/** A text, which BOS is put before, or token ids. */
export type Prompt = string | readonly number[]

/** How prompts are completed. */
export interface CompleteOptions extends Omit<GenerateOptions, "seed"> {
  /** Seed of the sampling, or one for each prompt; default 0. Continuation j of a prompt has seed + j. */
  readonly seed?: number | readonly number[]
  /** Continuations of each prompt; if given, the result is a list. */
  readonly numReturnSequences?: number
  /** Whether texts, ids and log-probabilities begin with those of the prompt; default false. */
  readonly echo?: boolean
  /** Sequences that are decoded side by side at most; default 8. Their caches are what this takes. */
  readonly batchSize?: number
}

const defaultBatchSize = 8

/** The prompts of a list; undefined for one prompt by itself. */
export const promptsOf = (given: Prompt | readonly Prompt[]): readonly Prompt[] | undefined =>
  Array.isArray(given) && given.length > 0 && typeof given[0] !== "number"
    ? (given as readonly Prompt[])
    : undefined

/** One completion for each prompt, or `numReturnSequences` one after the other. */
export async function complete(
  source: Source,
  tokenizer: Tokenizer | undefined,
  prompts: readonly Prompt[],
  options: CompleteOptions,
): Promise<Completion[]> {
  source.usage.check()
  const { numReturnSequences = 1, echo = false, batchSize = defaultBatchSize } = options
  checkWhole("complete: numReturnSequences", numReturnSequences, 1)
  checkWhole("complete: batchSize", batchSize, 1)
  if (typeof echo !== "boolean") {
    throw new TypeError(`complete: echo is ${show(echo)}, expected true or false`)
  }
  const seeds = seedsOf(options.seed, prompts.length)
  const requests = prompts.flatMap((prompt, i) => {
    const ids = named(i, prompts.length, () => promptIds(prompt, tokenizer, "complete"))
    return Array.from({ length: numReturnSequences }, (_, j) => {
      const seed = ((seeds[i] as number) + j) % 2 ** 32
      return named(i, prompts.length, () => requestOf(source, tokenizer, ids, { ...options, seed }))
    })
  })
  const all = requests.map((request) => new Growing(request))
  if (all.length === 1) await completeAlone(source, all[0] as Growing)
  else await completeTogether(source, all, batchSize)
  if (!echo) return all.map((growing) => growing.completion())
  const echoes: Echo[] = []
  for (const [i, prompt] of prompts.entries()) {
    const request = requests[i * numReturnSequences] as Request
    echoes.push(await echoOf(source, tokenizer, prompt, request))
  }
  return all.map((each, i) => each.completion(echoes[Math.floor(i / numReturnSequences)]))
}

function requestOf(
  { decoder, options: { capacity } }: Source,
  tokenizer: Tokenizer | undefined,
  prompt: readonly number[],
  options: GenerateOptions,
): Request {
  const checked = checkOptions(prompt, options, decoder.config, capacity, tokenizer)
  return { prompt, options: checked, textOf: continuation(prompt, tokenizer) }
}

/** Without anybody beside it, it is a stream's tokens: several steps may be under way on a device. */
async function completeAlone(source: Source, growing: Growing): Promise<void> {
  for await (const token of wholeStream(source, growing.request)) {
    growing.push(token)
    if (growing.isDone) return
  }
}

/** One for each prompt. */
function seedsOf(seed: unknown, count: number): readonly number[] {
  if (!isList(seed)) {
    checkWhole("complete: seed", seed ?? 0, 0, 0xffffffff)
    return Array(count).fill(seed ?? 0)
  }
  const seeds = [...(seed as readonly unknown[])]
  if (seeds.length !== count) {
    throw new RangeError(`complete: there are ${seeds.length} seeds for ${count} prompts`)
  }
  return seeds.map((each) => {
    checkWhole("complete: a seed", each, 0, 0xffffffff)
    return each
  })
}

/** What `check` gives; an error says which of several prompts it is of. */
function named<T>(i: number, count: number, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (count === 1 || !(error instanceof Error)) throw error
    const Kind = error.constructor as ErrorConstructor
    throw new Kind(`${error.message} (prompt ${i + 1} of ${count})`, { cause: error })
  }
}

/** The prompt as what comes before a completion. */
async function echoOf(
  source: Source,
  tokenizer: Tokenizer | undefined,
  prompt: Prompt,
  { prompt: ids, options: { host } }: Request,
): Promise<Echo> {
  const isPiece = (id: number): boolean => id < (tokenizer?.vocabSize ?? 0)
  const text = typeof prompt === "string" ? prompt : (tokenizer?.decode(ids.filter(isPiece)) ?? "")
  if (host?.logprobs === undefined) return { text, ids, logprobs: undefined }
  const { logprobs } = host
  const { usage, residence } = source
  const read = () => residence.during(() => promptLogprobs(source, ids, logprobs))
  return { text, ids, logprobs: await usage.reading(read) }
}

/** Of every token of a prompt but the first, how likely it was. */
async function promptLogprobs(
  source: Source,
  ids: readonly number[],
  count: number,
): Promise<(Logprobs | null)[]> {
  const V = source.decoder.config.vocabSize
  const session = sessionOf(source, (kind, open) => source.pool.acquire(kind, open))
  try {
    session.begin({ temperature: 0, topK: 0, topP: 1, seed: 0 }, source.residence.lost)
    const sequence = new Sequence(session)
    const found: (Logprobs | null)[] = [null]
    for (let start = 0; start < ids.length - 1; start += chunkOf.rows) {
      const chunk = ids.slice(start, Math.min(ids.length - 1, start + chunkOf.rows))
      const rows = await sequence.logits(chunk, "rows")
      for (const i of chunk.keys()) {
        const row = rows.subarray(i * V, (i + 1) * V)
        found.push(likelihood(row, ids[start + i + 1] as number, count))
      }
    }
    return found
  } finally {
    source.pool.release(session)
  }
}
