// Tokens that are chosen on the host, from a row of logits: what no kernel chooses by, and who wants to
// see how likely they were. Each step waits for its row.
import { uniformAt } from "../../engine/index.ts"
import { show } from "../json.ts"
import type { Begun, Token } from "./generate.ts"
import type { Checked } from "./options.ts"
import { logSoftmax } from "./processors/probabilities.ts"
import type { Change, Step } from "./processors/processor.ts"
import { Sequence } from "./sequence.ts"
import { notFinite, type Session } from "./session.ts"

/** Chooses a token by what processors left of its logits. */
export type Sampler = (scores: Float64Array, step: Step) => number

/** How tokens are chosen on the host. */
export interface HostChoice {
  readonly changes: readonly Change[]
  readonly sampler: Sampler | undefined
  /** How many of the likeliest tokens are told beside the chosen one; undefined: nothing is. */
  readonly logprobs: number | undefined
}

/** A token, and the logarithm of its probability. */
export interface Likely {
  readonly id: number
  readonly logprob: number
}

/** How likely a token was by the model's logits, whatever changed them after, and which were likeliest
 *  in its place. */
export interface Logprobs {
  readonly logprob: number
  readonly top: readonly Likely[]
}

export type Chosen = Pick<Token, "id" | "logprobs">

/** What a token is drawn by; `at`: its position, where that is not the text's length. */
interface Drawing extends Pick<Checked, "temperature" | "seed"> {
  readonly at?: number
}

/** The token after a row of logits (V), or what `choose` makes of it. Throws Error where there is none. */
export function chosenFrom(
  row: Float32Array,
  step: Step,
  { temperature, seed, at = step.ids.length }: Drawing,
  { changes, sampler, logprobs }: HostChoice,
  choose?: () => number,
): Chosen {
  const uniform = (k: number) => uniformAt(seed, at, 0, k)
  const plain = (): number => {
    const scores = changed(row, changes, step)
    if (sampler) return sampled(sampler, scores, step)
    return drawn(scores, temperature === 0 ? undefined : uniform)
  }
  const id = choose ? choose() : plain()
  return logprobs === undefined ? { id } : { id, logprobs: likelihood(row, id, logprobs) }
}

/** What processors make of a row. Throws Error for logits of which no token follows. */
export function changed(row: Float32Array, changes: readonly Change[], step: Step): Float64Array {
  let top = Number.NEGATIVE_INFINITY
  for (const x of row) {
    if (Number.isNaN(x)) throw notFinite()
    if (x > top) top = x
  }
  if (!Number.isFinite(top)) throw notFinite()
  const scores = Float64Array.from(row)
  for (const change of changes) change(scores, step)
  return scores
}

/** The token of the largest score; with noise, one of softmax(scores): what is added is Gumbel's, by the
 *  same numbers as on the device (ops/logits/sample.ts). */
export function drawn(scores: Float64Array, uniform: ((k: number) => number) | undefined): number {
  let [best, most] = [-1, Number.NEGATIVE_INFINITY]
  for (let k = 0; k < scores.length; k++) {
    const x = scores[k] as number
    if (x === Number.NEGATIVE_INFINITY) continue
    const noisy = uniform ? x - Math.log(-Math.log(uniform(k))) : x
    if (noisy > most) [best, most] = [k, noisy]
  }
  if (best >= 0) return best
  throw new Error("generate: the options rule out every token, so that none follows. Ask for less")
}

function sampled(sampler: Sampler, scores: Float64Array, step: Step): number {
  const id: unknown = sampler(scores, step)
  if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < scores.length) {
    return id as number
  }
  throw new RangeError(
    `generate: the sampler gave ${show(id)}, expected a token id below ${scores.length}`,
  )
}

/** Of a row's distribution: the chosen token, and the likeliest `count`. */
export function likelihood(row: Float32Array, id: number, count: number): Logprobs {
  const all = logSoftmax(row)
  const at = (i: number): Likely => ({ id: i, logprob: all[i] as number })
  const top: Likely[] = []
  const least = count > 0 ? (all.slice().sort()[Math.max(0, all.length - count)] as number) : 1
  for (let i = 0; i < all.length; i++) if ((all[i] as number) >= least) top.push(at(i))
  top.sort((a, b) => b.logprob - a.logprob || a.id - b.id)
  return { logprob: all[id] as number, top: top.slice(0, count) }
}

/** Where a generation stands. */
export const stepOf = (
  ids: readonly number[],
  promptLength: number,
  { maxNewTokens, stop }: Pick<Checked, "maxNewTokens" | "stop">,
): Step => ({ ids, promptLength, longest: promptLength + maxNewTokens, ends: stop, keep: 1 })

/** As `run`, with every token chosen on the host. */
export async function* runOnHost(
  session: Session,
  prompt: readonly number[],
  options: Begun,
  host: HostChoice,
  textOf: (id: number, isLast: boolean) => string,
): AsyncGenerator<Token, void, undefined> {
  const { maxNewTokens, stop, signal, lost, promptLength, from } = options
  signal?.throwIfAborted()
  if (maxNewTokens === 0) return
  const sequence = new Sequence(session, { ...options, length: from })
  sequence.sampleBy(options, lost)
  const ids = [...prompt]
  const step = {
    ...stepOf(ids, promptLength, options),
    longest: prompt.length + maxNewTokens,
  }
  for (let n = 1, unread = prompt.slice(from); ; n++) {
    const row = await sequence.logits(unread, "row")
    const { dropped, seed } = sequence.drawing
    const drawing = { temperature: options.temperature, seed, at: ids.length - dropped }
    const chosen = chosenFrom(row, step, drawing, host)
    const { id } = chosen
    ids.push(id)
    unread = [id]
    const isLast = n === maxNewTokens || stop.includes(id)
    yield { ...chosen, text: textOf(id, isLast) }
    if (isLast) return
  }
}
