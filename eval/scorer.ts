// A model as a Scorer: how texts become tokens, and which of them are scored.  lm-evaluation-harness's HFLM
import {
  type Completion,
  type ContinuationScore,
  type Continued,
  internals,
  type LanguageModel,
  type Tokenizer,
} from "../model/index.ts"
import { stripRight } from "../model/python/text.ts"
import { RequestError } from "./request_error.ts"
import type { Generation, Pair, Scorer, Work } from "./types.ts"

/** New tokens where a task does not say how many. */
const usualNewTokens = 256

/** Texts that are generated at a time. */
const sideBySide = 8

/** Throws TypeError for a model without a tokenizer. */
export function scorerOf(model: LanguageModel): Scorer {
  const { tokenizer, capacity } = model
  if (!tokenizer) throw new TypeError("evaluate: the model has no tokenizer. Load it with one")
  return {
    async logLikelihood(pairs, { signal, onProgress, onAnswer } = {}) {
      let done = 0
      const requests = encodedPairs(tokenizer, pairs).map((pair, i) => requestOf(pair, capacity, i))
      const onScored = (request: number, score: ContinuationScore): void => {
        onAnswer?.(request, score)
        onProgress?.(++done)
      }
      return internals(model).score(requests, { signal, onScored })
    },
    async rolling(texts, { signal, onProgress } = {}) {
      const windows = texts.map((text) => [...windowsOf(tokenizer, text, capacity)])
      const places = windows.flatMap((own, i) => own.map(() => i))
      const left = windows.map(({ length }) => length)
      let done = left.filter((count) => count === 0).length
      const onScored = (request: number): void => {
        const place = places[request] as number
        left[place] = (left[place] as number) - 1
        if (left[place] === 0) onProgress?.(++done)
      }
      const requests = windows
        .flat()
        .map((window, i) => requestOf(window, capacity, places[i] as number))
      const scores = await internals(model).score(requests, { signal, onScored })
      const sums = texts.map(() => 0)
      for (const [i, { logProb }] of scores.entries())
        (sums[places[i] as number] as number) += logProb
      return sums
    },
    generateUntil: (prompts, work) => generated(model, tokenizer, prompts, work),
  }
}

/** What is to be generated alike is generated side by side. */
async function generated(
  model: LanguageModel,
  tokenizer: Tokenizer,
  prompts: readonly Generation[],
  { signal, onProgress, onAnswer }: Work = {},
): Promise<string[]> {
  const asked = prompts.map((prompt, place) => {
    const { maxNewTokens = usualNewTokens, until, temperature = 0, context } = prompt
    const most = Math.max(1, model.capacity - maxNewTokens)
    const ids = encoded(tokenizer, context).slice(-most)
    // The original takes no notice of an empty text, which is everywhere.
    const stop = [...until.filter((text) => text !== ""), ...endsOf(tokenizer)]
    return { place, ids, options: { maxNewTokens, stop, temperature } }
  })
  const texts: string[] = []
  let done = 0
  for (const batch of alike(asked)) {
    signal?.throwIfAborted()
    const { options } = batch[0] as (typeof asked)[number]
    const prompted = batch.map(({ ids }) => ids)
    const more = signal ? { signal } : {}
    const found = await model.complete(prompted, { ...options, ...more, batchSize: sideBySide })
    for (const [i, { place }] of batch.entries()) {
      const { text } = found[i] as Completion
      texts[place] = text
      onAnswer?.(place, text)
    }
    done += batch.length
    onProgress?.(done)
  }
  return texts
}

/** Batches of those that have the same options, the longest prompts first. */
function* alike<T extends { readonly ids: readonly number[]; readonly options: object }>(
  asked: readonly T[],
): Generator<readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const each of asked) {
    const key = JSON.stringify(each.options)
    const group = groups.get(key) ?? []
    groups.set(key, group)
    group.push(each)
  }
  for (const group of groups.values()) {
    group.sort((a, b) => b.ids.length - a.ids.length)
    for (let i = 0; i < group.length; i += sideBySide) yield group.slice(i, i + sideBySide)
  }
}

/** A text after the token that texts begin with, where there is one: those of GPT-NeoX begin with none. */
const encoded = (tokenizer: Tokenizer, text: string): number[] =>
  tokenizer.encode(text, { bos: tokenizer.bosId >= 0 })

const endsOf = ({ eosId }: Tokenizer): number[] => (eosId < 0 ? [] : [eosId])

/** A context's tokens, and those that follow. */
interface EncodedPair {
  readonly context: readonly number[]
  readonly continuation: readonly number[]
}

/** What the model scores of a pair: the last token is scored, and read by nobody. Throws RequestError where
 *  there is nothing to score, or nothing before it, or no room for it. */
function requestOf(
  { context, continuation }: EncodedPair,
  capacity: number,
  request: number,
): Continued {
  const count = continuation.length
  if (count === 0) throw new RequestError(request, "a continuation has no tokens")
  if (count > capacity) {
    const window = `longer than the model's window of ${capacity}`
    throw new RequestError(request, `a continuation of ${count} tokens is ${window}`)
  }
  if (context.length === 0) throw new RequestError(request, "a context has no tokens")
  const ids = [...context, ...continuation].slice(-capacity - 1)
  return { ids, from: ids.length - continuation.length }
}

/** Tokens of both, which are those of the whole text: white space at the end of a context goes with the
 *  continuation, and an empty context is the end of the text before, where the beginning is scored too. */
export function encodedPair(
  tokenizer: Tokenizer,
  { context, continuation }: Pair,
  before: readonly number[] = encoded(tokenizer, stripRight(context)),
): EncodedPair {
  if (context === "") {
    const end = tokenizer.eosId < 0 ? tokenizer.bosId : tokenizer.eosId
    return { context: [end], continuation: encoded(tokenizer, continuation) }
  }
  const whole = encoded(tokenizer, context + continuation)
  return { context: before, continuation: whole.slice(before.length) }
}

/** Of many, each context encoded once. */
function encodedPairs(tokenizer: Tokenizer, pairs: readonly Pair[]): EncodedPair[] {
  const known = new Map<string, readonly number[]>()
  return pairs.map((pair) => {
    const before = known.get(pair.context) ?? encoded(tokenizer, stripRight(pair.context))
    known.set(pair.context, before)
    return encodedPair(tokenizer, pair, before)
  })
}

/** A text in windows of at most so many tokens, each of which is scored once, after as many before it as
 *  there is room for; the first after the end of a text. */
function* windowsOf(tokenizer: Tokenizer, text: string, most: number): Generator<EncodedPair> {
  const ids = encoded(tokenizer, text)
  const end = tokenizer.eosId < 0 ? tokenizer.bosId : tokenizer.eosId
  for (let from = 0; from < ids.length; ) {
    const to = Math.min(ids.length, from + most)
    const context = from === 0 ? [end] : ids.slice(Math.max(0, to - most - 1), from)
    yield { context, continuation: ids.slice(from, to) }
    from = to
  }
}
