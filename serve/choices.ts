// Several answers at a time: whole ones, or their parts as they come from any of them.
import type { AnswerPart, FinishReason, Request } from "../model/index.ts"
import type { Call } from "./call.ts"

/** An answer of which nothing more comes. */
export interface Whole {
  readonly tokens: AnswerPart["tokens"]
  readonly text: string
  readonly chosen: number
  readonly finishReason: FinishReason
}

/** Parts of all answers as they come, with the number of the answer. Who leaves, leaves all. */
export async function* partsOf(
  { serving, leave }: Call,
  requests: readonly Request[],
): AsyncGenerator<readonly [number, AnswerPart], void, undefined> {
  serving.checkRoom(requests.length)
  const all = requests.map((request) => serving.answer(request))
  const next = (i: number) => {
    const one = all[i] as (typeof all)[0]
    const part = one.next().then((result) => [i, result] as const)
    // Who has left waits for none of them.
    part.catch(() => undefined)
    return part
  }
  const waiting = new Map(all.map((_, i) => [i, next(i)]))
  try {
    while (waiting.size > 0) {
      const [i, result] = await Promise.race(waiting.values())
      if (result.done) waiting.delete(i)
      else {
        waiting.set(i, next(i))
        yield [i, result.value]
      }
    }
  } finally {
    // Those that wait for a token end too.
    if (waiting.size > 0) leave()
  }
}

/** All answers, when the last of them has ended. */
export async function wholesOf(call: Call, requests: readonly Request[]): Promise<Whole[]> {
  const all = requests.map(() => ({
    tokens: [] as AnswerPart["tokens"][number][],
    chosen: 0,
    finishReason: "length" as FinishReason,
  }))
  for await (const [i, { tokens, chosen, finishReason }] of partsOf(call, requests)) {
    const one = all[i] as (typeof all)[0]
    one.tokens.push(...tokens)
    one.chosen += chosen
    if (finishReason) one.finishReason = finishReason
  }
  return all.map((one) => ({ ...one, text: one.tokens.map(({ text }) => text).join("") }))
}

/** The usage of a response: each prompt counts once, however many answers it has. */
export function usageOf(prompts: readonly (readonly number[])[], completionTokens: number) {
  const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
}
