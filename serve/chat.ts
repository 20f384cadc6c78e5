// POST /v1/chat/completions: the answer to a conversation.
import * as v from "valibot"
import type { JsonOption, Request, Token } from "../model/index.ts"
import { whole } from "../model/schema.ts"
import { type Call, secondsNow } from "./call.ts"
import { partsOf, usageOf, wholesOf } from "./choices.ts"
import { checkTokens, isSilent, textOf } from "./completions.ts"
import { invalid, unsupported } from "./errors.ts"
import { eventStream } from "./events.ts"
import { common, generateOptions, parsed, text } from "./fields.ts"

const part = v.object({ type: text, text: v.optional(text) })
/** What clients send back is an answer as they got it, where null says that there is nothing. */
const fields = {
  role: text,
  content: v.nullish(v.union([v.string(), v.array(part)], "a text, or parts of text")),
  name: v.nullish(text),
  tool_calls: v.nullish(v.array(v.any(), "a list")),
}
const message = v.object(fields, "a message")

const formatFields = {
  name: v.nullish(text),
  description: v.nullish(text),
  schema: v.nullish(v.record(v.string(), v.any(), "a JSON schema")),
  strict: v.nullish(v.boolean("true or false")),
}
const format = v.object(formatFields, "an object")

const schema = v.strictObject({
  ...common,
  messages: v.array(message, "a list of messages"),
  max_tokens: v.optional(whole(1)),
  max_completion_tokens: v.optional(whole(1)),
  logprobs: v.optional(v.boolean("true or false")),
  top_logprobs: v.optional(whole(0, 20)),
  response_format: v.optional(
    v.object({ type: text, json_schema: v.nullish(format) }, "an object"),
  ),
  tools: v.optional(v.array(v.any())),
  tool_choice: v.optional(v.any()),
  parallel_tool_calls: v.optional(v.any()),
  functions: v.optional(v.array(v.any())),
  function_call: v.optional(v.any()),
  modalities: v.optional(v.array(text, "a list of texts")),
  reasoning_effort: v.optional(v.any()),
  verbosity: v.optional(v.any()),
})

type Given = v.InferOutput<typeof schema>

export async function chatCompletions(call: Call): Promise<Response> {
  const given = parsed(schema, call.body)
  const { top_logprobs = 0, logprobs = false, n = 1 } = given
  checkKinds(given)
  if (!logprobs && given.top_logprobs !== undefined) {
    throw invalid("top_logprobs", "is given without logprobs: true", "invalid_value")
  }
  const most = given.max_completion_tokens ?? given.max_tokens
  checkTokens(given.max_tokens === most ? "max_tokens" : "max_completion_tokens", most, call)
  const told = logprobs ? top_logprobs : undefined
  const options = generateOptions(given, most, told, call.signal, jsonOf(given))
  const asked = await call.serving.askChat(given.messages.map(plain), options, n).catch(ofFormat)
  const bounded = asked.map((request) => atMost(request, call.maxNewTokens))
  const read = [bounded[0]?.prompt ?? []]
  const head = { id: `chatcmpl-${crypto.randomUUID()}`, created: secondsNow(), model: call.model }
  if (given.stream) {
    const usage = given.stream_options?.include_usage === true
    const values = streamed(call, bounded, head, logprobs, usage ? read : undefined)
    return eventStream(values, await values.next(), call.leave)
  }
  const wholes = await wholesOf(call, bounded)
  return Response.json({
    ...{ ...head, object: "chat.completion" },
    choices: wholes.map(({ text, tokens, finishReason }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: logprobs ? contentOf(tokens, call) : null,
      finish_reason: finishReason,
    })),
    usage: usageOf(
      read,
      wholes.reduce((sum, { chosen }) => sum + chosen, 0),
    ),
  })
}

/** Throws ApiError for what this server has not. */
function checkKinds(given: Given): void {
  const { modalities = [] } = given
  for (const name of ["tools", "functions"] as const) {
    if (given[name]?.length) throw unsupported(name, "the model calls none")
  }
  for (const name of ["tool_choice", "function_call"] as const) {
    const { [name]: choice = "none" } = given
    if (choice !== "none" && choice !== "auto") throw unsupported(name, "the model calls none")
  }
  const other = modalities.find((each) => each !== "text")
  if (other !== undefined) throw unsupported("modalities", `${other} is none of the model's`)
}

/** What the answer keeps to; undefined for any text. */
function jsonOf({ response_format }: Given): JsonOption | undefined {
  const { type = "text", json_schema } = response_format ?? {}
  if (type === "text") return undefined
  if (type === "json_object") return "object"
  if (type !== "json_schema") {
    const known = '"text", "json_object" or "json_schema"'
    throw invalid("response_format", `type is "${type}", expected ${known}`, "invalid_value")
  }
  if (json_schema?.schema) return json_schema.schema
  throw invalid("response_format", "json_schema has no schema", "missing_required_parameter")
}

/** What is wrong with a schema is of that field. */
function ofFormat(error: unknown): never {
  const [, said] = /^generate: json:? (.*)$/s.exec((error as Error).message) ?? []
  if (said === undefined) throw error
  throw invalid("response_format", said, "invalid_value")
}

/** A message with one text. */
function plain({ role, content: given, tool_calls }: Given["messages"][number], i: number) {
  const content = given ?? ""
  if (tool_calls?.length) throw unsupported(`messages[${i}].tool_calls`, "the model calls none")
  if (typeof content === "string") return { role: roleOf(role), content }
  const other = content.find(({ type, text }) => type !== "text" || text === undefined)
  if (other) {
    throw unsupported(`messages[${i}].content`, `a part is of "${other.type}", expected "text"`)
  }
  return { role: roleOf(role), content: content.map(({ text = "" }) => text).join("") }
}

/** Developers speak as the system does. */
const roleOf = (role: string): string => (role === "developer" ? "system" : role)

function atMost(request: Request, maxNewTokens: number): Request {
  const { options } = request
  const most = Math.min(options.maxNewTokens, maxNewTokens)
  return { ...request, options: { ...options, maxNewTokens: most } }
}

async function* streamed(
  call: Call,
  requests: readonly Request[],
  head: object,
  isTold: boolean,
  read: readonly (readonly number[])[] | undefined,
): AsyncGenerator<object, void, undefined> {
  const more = read ? { usage: null } : {}
  const event = (
    index: number,
    delta: object,
    tokens: readonly Token[],
    finish: string | null,
  ) => ({
    ...{ ...head, object: "chat.completion.chunk" },
    choices: [
      {
        index,
        delta,
        logprobs: isTold && tokens.length > 0 ? contentOf(tokens, call) : null,
        finish_reason: finish,
      },
    ],
    ...more,
  })
  let chosen = 0
  const begun = new Set<number>()
  for await (const [i, part] of partsOf(call, requests)) {
    if (!begun.has(i)) yield event(i, { role: "assistant", content: "" }, [], null)
    begun.add(i)
    chosen += part.chosen
    if (isSilent(part)) continue
    const content = textOf(part)
    if (part.tokens.length > 0) yield event(i, { content }, part.tokens, null)
    if (part.finishReason) yield event(i, {}, [], part.finishReason)
  }
  if (read) {
    yield { ...head, object: "chat.completion.chunk", choices: [], usage: usageOf(read, chosen) }
  }
}

/** Of each token, how likely it was, and the likeliest in its place. */
function contentOf(tokens: readonly Token[], { serving }: Call) {
  const told = (id: number, logprob: number) => {
    return { token: serving.piece(id), logprob, bytes: [...serving.bytesOf(id)] }
  }
  const content = tokens.flatMap(({ id, logprobs }) =>
    logprobs
      ? [
          {
            ...told(id, logprobs.logprob),
            top_logprobs: logprobs.top.map((one) => told(one.id, one.logprob)),
          },
        ]
      : [],
  )
  return { content, refusal: null }
}
