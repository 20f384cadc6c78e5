// POST /v1/completions: texts that go on.
import * as v from "valibot"
import type { AnswerPart, Logprobs, Prompt, Request, Token } from "../model/index.ts"
import { whole } from "../model/schema.ts"
import { type Call, secondsNow } from "./call.ts"
import { partsOf, usageOf, type Whole, wholesOf } from "./choices.ts"
import { invalid, unsupported } from "./errors.ts"
import { eventStream } from "./events.ts"
import {
  common,
  generateOptions,
  parsed,
  promptField,
  promptsExpected,
  promptsIn,
} from "./fields.ts"

const schema = v.strictObject({
  ...common,
  prompt: promptField,
  max_tokens: v.optional(whole(0)),
  logprobs: v.optional(whole(0, 5)),
  echo: v.optional(v.boolean("true or false")),
  best_of: v.optional(whole(1, 20)),
  suffix: v.optional(v.string("a text")),
})

/** Tokens of an answer where the request does not say. */
const defaultMaxTokens = 16

/** One of several answers, and the prompt that is put before it. */
interface Choice {
  readonly request: Request
  readonly echoed: readonly Told[]
  readonly echoText: string
}

/** A token as it is told of. */
interface Told extends Pick<Token, "id" | "text"> {
  readonly logprobs?: Logprobs | null | undefined
}

export async function completions(call: Call): Promise<Response> {
  const given = parsed(schema, call.body)
  if (given.suffix) throw unsupported("suffix", "the model continues texts only")
  const { n = 1, best_of = n, logprobs } = given
  if (best_of < n) {
    throw invalid("best_of", `is ${best_of}, expected at least n, which is ${n}`, "invalid_value")
  }
  if (given.stream && best_of > n) {
    throw invalid("best_of", "ranks whole answers, which no stream has", "invalid_value")
  }
  const { max_tokens = Math.min(defaultMaxTokens, call.maxNewTokens) } = given
  checkTokens("max_tokens", max_tokens, call)
  const counted = best_of > n ? (logprobs ?? 0) : logprobs
  const options = generateOptions(given, max_tokens, counted, call.signal)
  const prompts = promptsIn(given.prompt)
  if (prompts.length === 0) {
    throw invalid("prompt", `is empty, expected ${promptsExpected}`, "invalid_value")
  }
  call.serving.checkRoom(prompts.length * best_of)
  const asked = prompts.map((prompt) => call.serving.ask(prompt, options, best_of))
  const choices: Choice[] = []
  for (const [i, requests] of asked.entries()) {
    const echo = given.echo
      ? await echoOf(prompts[i] as Prompt, requests[0] as Request, logprobs, call)
      : { echoed: [], echoText: "" }
    choices.push(...requests.map((request) => ({ request, ...echo })))
  }
  const read = asked.map(([request]) => request?.prompt ?? [])
  const head = {
    id: `cmpl-${crypto.randomUUID()}`,
    object: "text_completion",
    created: secondsNow(),
    model: call.model,
  }
  if (given.stream) {
    const values = streamed(call, choices, {
      head,
      logprobs,
      read,
      usage: given.stream_options?.include_usage === true,
    })
    return eventStream(values, await values.next(), call.leave)
  }
  const wholes = await wholesOf(
    call,
    choices.map(({ request }) => request),
  )
  const chosen = wholes.reduce((sum, one) => sum + one.chosen, 0)
  const kept = prompts.flatMap((_, i) => bestOf(wholes, i * best_of, best_of, n))
  return Response.json({
    ...head,
    choices: kept.map((j, index) =>
      wholeChoice(index, choices[j] as Choice, wholes[j] as Whole, logprobs, call),
    ),
    usage: usageOf(read, chosen),
  })
}

/** Throws ApiError for more tokens than a request may ask for. */
export function checkTokens(
  param: string,
  count: number | undefined,
  { maxNewTokens }: Call,
): void {
  if (count === undefined || count <= maxNewTokens) return
  throw invalid(
    param,
    `is ${count}, and this server gives at most ${maxNewTokens}`,
    "invalid_value",
  )
}

async function echoOf(
  prompt: Prompt,
  { prompt: ids }: Request,
  logprobs: number | undefined,
  { serving, signal }: Call,
) {
  const echoText = typeof prompt === "string" ? prompt : serving.decode(ids)
  const known =
    logprobs === undefined ? undefined : await serving.promptLogprobs(ids, logprobs, signal)
  const texts = serving.texts(ids)
  const echoed = ids.map((id, i): Told => ({ id, text: texts[i] ?? "", logprobs: known?.[i] }))
  return { echoed, echoText }
}

/** Which of `count` answers from `first` on are returned: those of the largest mean log probability. */
function bestOf(wholes: readonly Whole[], first: number, count: number, n: number): number[] {
  const all = Array.from({ length: count }, (_, j) => first + j)
  if (count === n) return all
  const mean = ({ tokens }: Whole) =>
    tokens.reduce((sum, { logprobs }) => sum + (logprobs?.logprob ?? 0), 0) /
    Math.max(1, tokens.length)
  return all
    .sort((a, b) => mean(wholes[b] as Whole) - mean(wholes[a] as Whole) || a - b)
    .slice(0, n)
}

function wholeChoice(
  index: number,
  { echoed, echoText }: Choice,
  one: Whole,
  count: number | undefined,
  call: Call,
) {
  const tokens: readonly Told[] = [...echoed, ...one.tokens]
  return {
    text: echoText + one.text,
    index,
    logprobs: count === undefined ? null : logprobsOf(tokens, 0, count, call),
    finish_reason: one.finishReason,
  }
}

interface Streaming {
  readonly head: object
  readonly logprobs: number | undefined
  readonly read: readonly (readonly number[])[]
  readonly usage: boolean
}

async function* streamed(
  call: Call,
  choices: readonly Choice[],
  { head, logprobs, read, usage }: Streaming,
): AsyncGenerator<object, void, undefined> {
  const more = usage ? { usage: null } : {}
  const offsets = choices.map(() => 0)
  const event = (index: number, text: string, tokens: readonly Told[], finish: string | null) => {
    const from = offsets[index] as number
    offsets[index] = from + text.length
    const told = logprobs === undefined ? null : logprobsOf(tokens, from, logprobs, call)
    return { ...head, choices: [{ text, index, logprobs: told, finish_reason: finish }], ...more }
  }
  for (const [i, { echoed, echoText }] of choices.entries()) {
    if (echoed.length > 0) yield event(i, echoText, echoed, null)
  }
  let chosen = 0
  for await (const [i, part] of partsOf(
    call,
    choices.map(({ request }) => request),
  )) {
    chosen += part.chosen
    if (isSilent(part)) continue
    yield event(i, textOf(part), part.tokens, part.finishReason ?? null)
  }
  if (usage) yield { ...head, choices: [], usage: usageOf(read, chosen) }
}

/** Whether a part has nothing to tell. */
export const isSilent = ({ tokens, finishReason }: AnswerPart): boolean =>
  tokens.length === 0 && finishReason === undefined

export const textOf = ({ tokens }: AnswerPart): string => tokens.map(({ text }) => text).join("")

/** Of each token, how likely it was, and beside it the likeliest in its place; null for the first of a prompt. */
function logprobsOf(tokens: readonly Told[], from: number, count: number, { serving }: Call) {
  let at = from
  const offsets = tokens.map(({ text }) => {
    at += text.length
    return at - text.length
  })
  const top = ({ id, logprobs }: Told) => {
    if (!logprobs) return null
    const found = new Map<string, number>()
    // The chosen one too, if it is not among them; of tokens that read alike, the likeliest.
    for (const one of [...logprobs.top, { id, logprob: logprobs.logprob }]) {
      const piece = serving.piece(one.id)
      if (!found.has(piece)) found.set(piece, one.logprob)
    }
    return Object.fromEntries(found)
  }
  return {
    tokens: tokens.map(({ id }) => serving.piece(id)),
    token_logprobs: tokens.map(({ logprobs }) => logprobs?.logprob ?? null),
    top_logprobs: count === 0 ? null : tokens.map(top),
    text_offset: offsets,
  }
}
