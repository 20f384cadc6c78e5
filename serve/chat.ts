// POST /v1/chat/completions: the answer to a conversation.
import * as v from "valibot"
import type { JsonOption, Request, Token } from "../model/index.ts"
import { whole } from "../model/schema.ts"
import { type Call, secondsNow } from "./call.ts"
import { partsOf, usageOf, wholesOf } from "./choices.ts"
import { checkTokens, isSilent, textOf } from "./completions.ts"
import { invalid, unsupported } from "./errors.ts"
import { eventStream } from "./events.ts"
import { common, generateOptions, parsed } from "./fields.ts"

const part = v.object({ type: v.string("a text"), text: v.optional(v.string("a text")) })
const message = v.object({
  role: v.string("a text"),
  content: v.optional(v.union([v.string(), v.array(part)], "a text, or parts of text")),
  name: v.optional(v.string("a text")),
  tool_calls: v.optional(v.array(v.any())),
})

const schema = v.strictObject({
  ...common,
  messages: v.array(message, "a list of messages"),
  max_tokens: v.optional(whole(1)),
  max_completion_tokens: v.optional(whole(1)),
  logprobs: v.optional(v.boolean("true or false")),
  top_logprobs: v.optional(whole(0, 20)),
  response_format: v.optional(
    v.object({
      type: v.string("a text"),
      json_schema: v.optional(
        v.object({
          name: v.optional(v.string("a text")),
          description: v.optional(v.string("a text")),
          schema: v.optional(v.record(v.string(), v.any(), "a JSON schema")),
          strict: v.optional(v.nullable(v.boolean("true or false"))),
        }),
      ),
    }),
  ),
  tools: v.optional(v.array(v.any())),
  tool_choice: v.optional(v.any()),
  parallel_tool_calls: v.optional(v.any()),
  functions: v.optional(v.array(v.any())),
  function_call: v.optional(v.any()),
  modalities: v.optional(v.any()),
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
function checkKinds({ tools, functions }: Given): void {
  if (tools?.length) throw unsupported("tools", "the model calls none")
  if (functions?.length) throw unsupported("functions", "the model calls none")
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
function plain({ role, content = "", tool_calls }: Given["messages"][number], i: number) {
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
    const token = serving.piece(id)
    return { token, logprob, bytes: [...new TextEncoder().encode(token)] }
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
