// A model as a Scorer: how texts become tokens, and which of them are scored.  lm-evaluation-harness's HFLM
import { internals, type LanguageModel, type Tokenizer } from "../model/index.ts"
import { stripRight } from "../model/python/text.ts"
import type { Generation, LogLikelihood, Pair, Scorer, Work } from "./types.ts"

/** New tokens where a task does not say how many. */
const usualNewTokens = 256

/** Throws TypeError for a model without a tokenizer. */
export function scorerOf(model: LanguageModel): Scorer {
  const { tokenizer, capacity } = model
  if (!tokenizer) throw new TypeError("evaluate: the model has no tokenizer. Load it with one")
  const scored = async (context: readonly number[], continuation: readonly number[]) => {
    checkLength(continuation, capacity)
    // The last token is scored, and read by nobody.
    const ids = [...context, ...continuation].slice(-capacity - 1)
    const { logProbabilities, likeliest } = await internals(model).score(ids)
    const from = logProbabilities.length - continuation.length
    const isGreedy = continuation.every((id, i) => likeliest[from + i] === id)
    return { logProb: sum(logProbabilities.subarray(from)), isGreedy }
  }
  return {
    logLikelihood: (pairs, work) =>
      each(pairs, work, async (pair): Promise<LogLikelihood> => {
        const { context, continuation } = encodedPair(tokenizer, pair)
        return scored(context, continuation)
      }),
    rolling: (texts, work) =>
      each(texts, work, async (text) => {
        let logProb = 0
        for (const [context, continuation] of windowsOf(tokenizer, text, capacity)) {
          logProb += (await scored(context, continuation)).logProb
        }
        return logProb
      }),
    generateUntil: (prompts, work) =>
      each(prompts, work, async (prompt) => {
        const { maxNewTokens = usualNewTokens, until, temperature = 0, context } = prompt
        const most = Math.max(1, capacity - maxNewTokens)
        const ids = tokenizer.encode(context, { bos: true }).slice(-most)
        const stop = [...until, ...endsOf(tokenizer)]
        const { text } = await model.complete(ids, { maxNewTokens, stop, temperature })
        return text
      }),
  }
}

const endsOf = ({ eosId }: Tokenizer): number[] => (eosId < 0 ? [] : [eosId])

const sum = (values: Float32Array): number => values.reduce((all, x) => all + x, 0)

/** One after the other. */
async function each<T extends Pair | Generation | string, R>(
  asked: readonly T[],
  { signal, onProgress }: Work = {},
  answer: (one: T) => Promise<R>,
): Promise<R[]> {
  const answers: R[] = []
  for (const one of asked) {
    signal?.throwIfAborted()
    answers.push(await answer(one))
    onProgress?.(answers.length)
  }
  return answers
}

function checkLength(continuation: readonly number[], capacity: number): void {
  if (continuation.length === 0) throw new RangeError("a continuation has no tokens")
  if (continuation.length <= capacity) return
  throw new RangeError(
    `a continuation of ${continuation.length} tokens is longer than the model's window of ${capacity}`,
  )
}

/** Tokens of both, which are those of the whole text: white space at the end of a context goes with the
 *  continuation, and an empty context is the end of the text before, where the beginning is scored too. */
export function encodedPair(
  tokenizer: Tokenizer,
  { context, continuation }: Pair,
): { readonly context: readonly number[]; readonly continuation: readonly number[] } {
  if (context === "") {
    const end = tokenizer.eosId < 0 ? tokenizer.bosId : tokenizer.eosId
    return { context: [end], continuation: tokenizer.encode(continuation, { bos: true }) }
  }
  const before = tokenizer.encode(stripRight(context), { bos: true })
  const whole = tokenizer.encode(context + continuation, { bos: true })
  return { context: before, continuation: whole.slice(before.length) }
}

/** A text in windows of at most so many tokens, each of which is scored once, after as many before it as
 *  there is room for; the first after the end of a text. */
function* windowsOf(
  tokenizer: Tokenizer,
  text: string,
  most: number,
): Generator<readonly [context: readonly number[], continuation: readonly number[]]> {
  const ids = tokenizer.encode(text, { bos: true })
  const end = tokenizer.eosId < 0 ? tokenizer.bosId : tokenizer.eosId
  for (let from = 0; from < ids.length; ) {
    const to = Math.min(ids.length, from + most)
    const context = from === 0 ? [end] : ids.slice(Math.max(0, to - most - 1), from)
    yield [context, ids.slice(from, to)]
    from = to
  }
}
