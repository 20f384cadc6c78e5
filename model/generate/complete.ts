// Whole continuations in one call: of one prompt or of many, each once or several times.
import { checkWhole } from "../../engine/index.ts"
import type { Adapter } from "../adapters/adapter.ts"
import { stackOrder } from "../adapters/stack.ts"
import { show } from "../json.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import { searchBeams } from "./beam_completion.ts"
import { type BeamOptions, checkBeams } from "./beam_options.ts"
import { type Completion, type Echo, type Ended, Growing, type Request } from "./completion.ts"
import type { DraftOptions } from "./drafters.ts"
import type { GenerationDefaults } from "./generation.ts"
import { type Logprobs, likelihood } from "./host.ts"
import { isList } from "./ids.ts"
import type { GenerateOptions } from "./options.ts"
import { chunkOf } from "./prefill.ts"
import { requestOf, reseeded } from "./request.ts"
import { Sequence } from "./sequence.ts"
import { greedySampling } from "./session.ts"
import type { Overflow } from "./slide.ts"
import { type Source, sessionOf } from "./source.ts"
import { wholeStream } from "./stream.ts"
import { continuation, promptIds } from "./text.ts"
import { completeRouted, routeOf } from "./together.ts"
import { nextTurn } from "./turn.ts"

/** A text, which BOS is put before, or token ids. */
export type Prompt = string | readonly number[]

/** How prompts are completed. */
export interface CompleteOptions extends Omit<GenerateOptions, "seed" | "adapter">, BeamOptions {
  /** Seed of the sampling, or one for each prompt; default 0. Continuation j of a prompt has seed + j. */
  readonly seed?: number | readonly number[]
  /** The adapter of all prompts, or one for each; null: the weights as they are. All are decoded side by side. */
  readonly adapter?: Adapter | null | readonly (Adapter | null)[]
  /** Continuations of each prompt; if given, the result is a list. Of beams the best, no more than there
   *  are. */
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

/** One completion for each prompt, or `numReturnSequences` one after the other; each prompt has its source,
 *  which is the same model's. */
export async function complete(
  sources: readonly Source[],
  tokenizer: Tokenizer | undefined,
  prompts: readonly Prompt[],
  { adapter: _, ...options }: CompleteOptions,
): Promise<Completion[]> {
  for (const { usage } of sources) usage.check()
  const how = checked(options, (sources[0] as Source).decoder.config, prompts.length)
  const isBeams = how.beams.numBeams > 1
  const requests = prompts.map((prompt, i) =>
    named(i, prompts.length, (): Sourced => {
      const ids = promptIds(prompt, tokenizer, "complete")
      const each = { ...options, seed: how.seeds[i] as number }
      const source = sources[i] as Source
      return { source, request: requestOf(source, tokenizer, ids, each, isBeams) }
    }),
  )
  const all = isBeams
    ? await searched(tokenizer, requests, how)
    : await drawn(tokenizer, requests, how)
  if (!how.echo) return all.map(({ growing, score }) => growing.completion(undefined, score))
  const echoes: Echo[] = []
  for (const [i, prompt] of prompts.entries()) {
    echoes.push(await echoOf(tokenizer, prompt, requests[i] as Sourced))
  }
  return all.map(({ growing, score }, i) =>
    growing.completion(echoes[Math.floor(i / how.numReturnSequences)], score),
  )
}

/** A request, and what it goes to. */
interface Sourced {
  readonly source: Source
  readonly request: Request
}

type Checked = ReturnType<typeof checked>

/** What is asked beside how each prompt goes on. */
function checked(
  options: CompleteOptions,
  { generation = {} }: { readonly generation?: GenerationDefaults },
  count: number,
) {
  const { numReturnSequences = 1, echo = false, batchSize = defaultBatchSize } = options
  checkWhole("complete: numReturnSequences", numReturnSequences, 1)
  checkWhole("complete: batchSize", batchSize, 1)
  if (typeof echo !== "boolean") {
    throw new TypeError(`complete: echo is ${show(echo)}, expected true or false`)
  }
  const beams = checkBeams(
    {
      numBeams: options.numBeams ?? generation.numBeams ?? 1,
      lengthPenalty: options.lengthPenalty ?? generation.lengthPenalty ?? 1,
      earlyStopping: options.earlyStopping ?? generation.earlyStopping ?? false,
    },
    {
      numBeams: "complete: numBeams",
      lengthPenalty: "complete: lengthPenalty",
      earlyStopping: "complete: earlyStopping",
    },
  )
  if (beams.numBeams > 1 && numReturnSequences > beams.numBeams) {
    throw new RangeError(
      `complete: numReturnSequences is ${numReturnSequences}, and there are ${beams.numBeams} beams. ` +
        "Ask for no more than numBeams",
    )
  }
  if (options.overflow === "slide" && beams.numBeams > 1) {
    throw new TypeError(
      "complete: a cache that slides is of one continuation, and beams of several. Leave one out",
    )
  }
  if (options.promptCache !== undefined && count * numReturnSequences * beams.numBeams > 1) {
    throw new TypeError(
      "complete: a prompt cache is of one continuation at a time. Ask for one, or leave it out",
    )
  }
  if (beams.numBeams > 1 && options.sampler !== undefined) {
    throw new TypeError(
      "complete: a sampler chooses one token, and beams go on with several. Leave one out",
    )
  }
  if (beams.numBeams > 1 && isDrafted(options)) {
    throw new TypeError(
      "complete: guesses are of one continuation, and beams of several. Leave one out",
    )
  }
  return { numReturnSequences, echo, batchSize, beams, seeds: seedsOf(options.seed, count) }
}

const isDrafted = ({ promptLookupNumTokens, assistantModel, assistantEarlyExit }: DraftOptions) =>
  [promptLookupNumTokens, assistantModel, assistantEarlyExit].some((each) => each !== undefined)

/** Each prompt by beams, one after the other. */
async function searched(
  tokenizer: Tokenizer | undefined,
  requests: readonly Sourced[],
  { beams, numReturnSequences }: Checked,
): Promise<Ended[]> {
  const all: Ended[] = []
  for (const { source, request } of requests) {
    for (const { tokens, score } of await searchBeams(source, request, beams, numReturnSequences)) {
      const growing = growingOf(request, tokenizer)
      for (const { id, logprobs } of tokens) {
        if (!growing.isDone) growing.push({ id, ...(logprobs ? { logprobs } : {}) })
      }
      all.push({ growing, score })
    }
  }
  return all
}

/** Each prompt as often as is asked: side by side, or, where each has guesses or slides when its own cache is
 *  full, one after the other. */
async function drawn(
  tokenizer: Tokenizer | undefined,
  requests: readonly Sourced[],
  { numReturnSequences, batchSize }: Checked,
): Promise<Ended[]> {
  const sources = stackOrder(requests.map(({ source }) => source))
  const all = requests.flatMap(({ source, request }) =>
    Array.from({ length: numReturnSequences }, (_, j) => {
      const own = { ...reseeded(request, j, tokenizer), route: routeOf(source, sources) }
      return { source, growing: new Growing(own) }
    }),
  )
  const { draft, overflow } = requests[0]?.request.options ?? {}
  if (all.length === 1 || batchSize === 1 || draft || overflow) {
    for (const { source, growing } of all) await completeAlone(source, growing)
  } else await completeRouted(sources, all, batchSize)
  return all
}

/** Text is completed token by token, for each by itself. */
const growingOf = (request: Request, tokenizer: Tokenizer | undefined): Growing =>
  new Growing({ ...request, textOf: continuation(request.prompt, tokenizer) })

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
  tokenizer: Tokenizer | undefined,
  prompt: Prompt,
  { source, request }: Sourced,
): Promise<Echo> {
  const { prompt: ids, options } = request
  const { host } = options
  const isPiece = (id: number): boolean => id < (tokenizer?.vocabSize ?? 0)
  const text = typeof prompt === "string" ? prompt : (tokenizer?.decode(ids.filter(isPiece)) ?? "")
  if (host?.logprobs === undefined) return { text, ids, logprobs: undefined }
  return { text, ids, logprobs: await promptLogprobsOf(source, ids, host.logprobs, options) }
}

/** How a prompt is read that may be longer than the cache, and what ends that. */
interface Scoring {
  readonly overflow?: Overflow | undefined
  readonly signal?: AbortSignal | undefined
}

/** Of every token of a prompt but the first, how likely it was, and the likeliest `count` in its place. */
export function promptLogprobsOf(
  source: Source,
  ids: readonly number[],
  count: number,
  options: Scoring,
): Promise<(Logprobs | null)[]> {
  const { usage, residence } = source
  return usage.reading(() => residence.during(() => promptLogprobs(source, ids, count, options)))
}

async function promptLogprobs(
  source: Source,
  ids: readonly number[],
  count: number,
  { overflow, signal }: Scoring,
): Promise<(Logprobs | null)[]> {
  const V = source.decoder.config.vocabSize
  const session = sessionOf(source, (kind, open) => source.pool.acquire(kind, open))
  try {
    session.begin(greedySampling, source.residence.lost)
    const sequence = new Sequence(session, { overflow })
    const found: (Logprobs | null)[] = [null]
    for (let start = 0; start < ids.length - 1; start += chunkOf.rows) {
      signal?.throwIfAborted()
      const chunk = ids.slice(start, Math.min(ids.length - 1, start + chunkOf.rows))
      const rows = await sequence.logits(chunk, "rows")
      for (const i of chunk.keys()) {
        const row = rows.subarray(i * V, (i + 1) * V)
        found.push(likelihood(row, ids[start + i + 1] as number, count))
      }
      await nextTurn()
    }
    return found
  } finally {
    source.pool.release(session)
  }
}
