// The fields that requests for text share, and what they ask of a generation.
import * as v from "valibot"
import type { GenerateOptions, JsonOption, Prompt } from "../model/index.ts"
import { issuePath, whole } from "../model/schema.ts"
import { ApiError, invalid, unsupported } from "./errors.ts"

const number = (from: number, to: number) =>
  v.pipe(
    v.number(`a number from ${from} to ${to}`),
    v.check((x) => x >= from && x <= to, `a number from ${from} to ${to}`),
  )
export const text = v.string("a text")
const flag = v.boolean("true or false")

/** Most choices of a request, and most ends that it names. */
const mostChoices = 16
const mostStops = 4
const stopsExpected = `a text, or at most ${mostStops}`
const tokenId = v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,9})$/, "a token id"))

export const promptsExpected = "a text, a list of texts, or token ids"
const ids = v.array(whole(0), promptsExpected)
/** One prompt, or several. */
export const promptField = v.union(
  [v.string(), v.array(v.string()), ids, v.array(ids)],
  promptsExpected,
)

/** Each of them by itself. */
export const promptsIn = (given: v.InferOutput<typeof promptField>): Prompt[] =>
  (typeof given === "string" || typeof given[0] === "number" ? [given] : given) as Prompt[]

export const common = {
  model: text,
  temperature: v.optional(number(0, 2)),
  top_p: v.optional(number(0, 1)),
  n: v.optional(whole(1, mostChoices)),
  stream: v.optional(flag),
  stream_options: v.optional(
    v.strictObject({
      include_usage: v.nullish(flag),
      include_obfuscation: v.nullish(flag),
    }),
  ),
  stop: v.optional(v.union([text, v.array(text)], stopsExpected)),
  presence_penalty: v.optional(number(-2, 2)),
  frequency_penalty: v.optional(number(-2, 2)),
  logit_bias: v.optional(v.record(tokenId, number(-100, 100))),
  seed: v.optional(whole(-(2 ** 53) + 1, 2 ** 53 - 1)),
  // Beyond the protocol, as other servers of open models have them.
  top_k: v.optional(whole(-1)),
  min_p: v.optional(number(0, 1)),
  repetition_penalty: v.optional(number(1e-3, 100)),
  ignore_eos: v.optional(flag),
  // They change nothing in the answer.
  user: v.optional(v.any()),
  metadata: v.optional(v.any()),
  store: v.optional(v.any()),
  service_tier: v.optional(v.any()),
  safety_identifier: v.optional(v.any()),
  prompt_cache_key: v.optional(v.any()),
}

/** The object of a request by a schema; null says nothing. Throws ApiError that names the field. */
export function parsed<T extends v.GenericSchema>(schema: T, body: unknown): v.InferOutput<T> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError(400, "the body is no JSON object")
  }
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
  const { issues, output } = v.safeParse(schema, given, { abortEarly: true })
  const [issue] = issues ?? []
  if (!issue) return output
  const path = issuePath(issue)
  if (issue.type === "strict_object" && issue.expected === "never") {
    throw unsupported(path, "this server does not know it")
  }
  if (issue.received === "undefined")
    throw invalid(path, "is missing", "missing_required_parameter")
  throw invalid(path, `is ${issue.received}, expected ${issue.message}`, "invalid_value")
}

type Common = v.InferOutput<v.ObjectSchema<typeof common, undefined>>

/** Where it ends beside the end of text; there alone where none are given, and nowhere where that is ignored. */
function stopOf({ stop = [], ignore_eos = false }: Common): readonly string[] | undefined {
  const texts = typeof stop === "string" ? [stop] : stop
  if (texts.length > mostStops) {
    throw invalid("stop", `has ${texts.length} texts, expected ${stopsExpected}`, "invalid_value")
  }
  if (texts.length > 0 && ignore_eos) {
    throw invalid(
      "ignore_eos",
      "is true beside texts of stop, with which the end of text is an end too",
      "invalid_value",
    )
  }
  return texts.length > 0 || ignore_eos ? texts : undefined
}

/** What a generation is asked for: as the protocol has it, tokens are drawn by their probabilities where no
 *  temperature is given, each time others where no seed is. */
export function generateOptions(
  given: Common,
  maxNewTokens: number | undefined,
  logprobs: number | undefined,
  signal: AbortSignal,
  json?: JsonOption,
): GenerateOptions {
  const { temperature = 1, top_p = 1, seed, top_k } = given
  if (top_p === 0) throw invalid("top_p", "is 0, expected a number above 0 to 1", "invalid_value")
  const asked = {
    presencePenalty: given.presence_penalty || undefined,
    frequencyPenalty: given.frequency_penalty || undefined,
    repetitionPenalty: given.repetition_penalty,
    logitBias: given.logit_bias,
    topK: top_k === undefined ? undefined : Math.max(0, top_k),
    minP: given.min_p,
    stop: stopOf(given),
    maxNewTokens,
    logprobs,
    json,
  }
  const present = Object.entries(asked).filter(([, value]) => value !== undefined)
  const random = () => Math.floor(Math.random() * 2 ** 32)
  const unsigned = (((seed ?? random()) % 2 ** 32) + 2 ** 32) % 2 ** 32
  return { ...Object.fromEntries(present), temperature, topP: top_p, seed: unsigned, signal }
}
