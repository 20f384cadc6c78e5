// Streaming generation: prefill in chunks, then one token at a time from the cache.
import type { Logprobs } from "./host.ts"
import type { Checked } from "./options.ts"
import { Sequence } from "./sequence.ts"
import type { Session } from "./session.ts"
import { nextTurn } from "./turn.ts"

/** One token of a generation. */
export interface Token {
  readonly id: number
  /** The text that this token completes, in whole characters; empty without a tokenizer. */
  readonly text: string
  /** Where the options ask for it. */
  readonly logprobs?: Logprobs
}

/** Options with the number of devices that were lost before it begins, how many of the tokens before
 *  it are the prompt, and how many of them lie in its session's cache. */
export type Begun = Checked & {
  readonly lost: number
  readonly promptLength: number
  readonly from: number
  /** Of those, how many slides have dropped. */
  readonly dropped: number
}

/** Runs a checked generation on a session that no one else uses meanwhile. Ids are read in arrears
 *  where the backend takes several steps at once; steps beyond the end are not looked at. */
export async function* run(
  session: Session,
  prompt: readonly number[],
  options: Begun,
  textOf: (id: number, isLast: boolean) => string,
): AsyncGenerator<Token, void, undefined> {
  const { maxNewTokens, stop, signal, from } = options
  signal?.throwIfAborted()
  if (maxNewTokens === 0) return
  const sequence = new Sequence(session, { ...options, length: from })
  sequence.sampleBy(options, options.lost)
  if (maxNewTokens > 1) session.prepareDecode()
  const inFlight: Promise<number>[] = []
  const begin = (step: Promise<number>): void => {
    // Whoever ends early does not wait for it.
    step.catch(() => undefined)
    inFlight.push(step)
  }
  begin(sequence.append(prompt.slice(from), "next") as Promise<number>)
  for (let begun = 1, n = 1; ; n++) {
    const id = (await inFlight.shift()) as number
    const isLast = n === maxNewTokens || stop.includes(id)
    // The first step prepares what the others need.
    const most = n === 1 ? 0 : sequence.ahead
    for (; !isLast && begun < maxNewTokens && inFlight.length < most; begun++) {
      begin(sequence.next())
    }
    yield { id, text: textOf(id, isLast) }
    if (isLast) return
    await nextTurn()
    signal?.throwIfAborted()
    if (inFlight.length === 0) {
      begin(sequence.next())
      begun++
    }
  }
}
