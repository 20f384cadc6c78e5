// Flags that say how tokens are chosen: a line for every processor of logits whose option is a number, and
// the keyword arguments of transformers' `generate`, as the original's command takes them.
import { readFile } from "node:fs/promises"
import { InvalidArgumentError } from "commander"
import {
  type CompleteOptions,
  decimal,
  type LanguageModel,
  optionsOfKwargs,
  type ProcessorOptions,
  processorList,
} from "../../model/index.ts"
import { isObject, parseJson, show } from "../../model/json.ts"
import { asUsage, finite, path, several, texts, usageError, whole } from "./arguments.ts"
import { choice, type Flag, toggle, under, type ValuesOf, valued } from "./flags.ts"
import { headings } from "./options.ts"

/** Schemas within schemas. */
const mostDepth = 64

type All = Required<ProcessorOptions>

/** Options that are a number, and not in the command's own table. */
type Numeric = Exclude<
  { [K in keyof All]: All[K] extends number ? K : never }[keyof All],
  "temperature" | "topK" | "topP"
>

type Numbers = { readonly [K in Numeric]: Flag<number | undefined> }

/** --repetition-penalty and its like. Those that the device knows stand in the command's own table. */
const numbers: Numbers = Object.fromEntries(
  processorList.flatMap(([name, { range, isOnDevice, help, check }]) => {
    if (!range || isOnDevice) return []
    const parse = (text: string): number => {
      const value = decimal(text)
      expected(() => check(value, name, { size: 0, tokenizer: undefined }))
      return value
    }
    return [[name, valued(range.isWhole ? "<n>" : "<x>", help, parse)]]
  }),
) as unknown as Numbers

/** What `check` expects, where it throws. */
function expected(check: () => unknown): void {
  try {
    check()
  } catch (error) {
    const [, words = "another value"] = (error as Error).message.split("expected ")
    throw new InvalidArgumentError(`Expected ${words}.`)
  }
}

/** "7=-2.5" as [7, -2.5]. */
const bias = (text: string): readonly [id: number, bias: number] => {
  const [id = "", x = ""] = text.split("=")
  const pair = [decimal(id), decimal(x)] as const
  if (Number.isInteger(pair[0]) && Number.isFinite(pair[1])) return pair
  throw new InvalidArgumentError("Expected a token id and a number, such as 7=-2.5.")
}

/** "name=value" as the original has it: the value as JSON or Python writes it, else a text. */
const kwarg = (text: string): readonly [name: string, value: unknown] => {
  const at = text.indexOf("=")
  if (at < 1) throw new InvalidArgumentError(`Expected name=value, got ${JSON.stringify(text)}.`)
  return [text.slice(0, at), literal(text.slice(at + 1))]
}

const words: Readonly<Record<string, unknown>> = { True: true, False: false, None: null }

function literal(text: string): unknown {
  if (text in words) return words[text]
  try {
    return JSON.parse(text.replace(/,?\)/g, "]").replaceAll("(", "["))
  } catch {
    return text
  }
}

/** Flags of every generation. */
export const choosing = under(headings.text, {
  ...numbers,
  badWord: valued("<text>", "a text that never comes; repeatable", texts),
  logitBias: valued("<id=x>", "adds x to a token's logit; repeatable", several(bias)),
  promptLookupNumTokens: valued("<n>", "guess so many tokens from the text before", whole(1)),
  assistantEarlyExit: valued("<n>", "guess by so many of the model's first layers", whole(1)),
  schema: valued("<file>", "the text is JSON that keeps to this JSON schema", path),
  jsonObject: toggle("the text is a JSON object"),
  generateKwargs: valued(
    "<name=value...>",
    "keyword arguments of transformers' generate, with its defaults",
    several(kwarg),
  ),
})

/** Flags of whole continuations. */
export const completing = under(headings.text, {
  numBeams: valued("<n>", "search so many continuations side by side, default 1 *", whole(1)),
  lengthPenalty: valued("<x>", "beams: above 0 prefers longer ones, default 1 *", finite),
  earlyStopping: choice("beams: when to end, default false *", ["true", "false", "never"]),
  numReturnSequences: valued("<n>", "continuations of the prompt, default 1", whole(1)),
  logprobs: valued("<n>", "with --json: log p, and so many of the likeliest tokens", whole(0)),
  json: toggle("print each continuation as a line of JSON, when all are there"),
})

type Values = ValuesOf<typeof choosing> & Partial<ValuesOf<typeof completing>>

/** What the text keeps to. Throws CommanderError for two of them, SyntaxError for what is no JSON. */
async function jsonOf({ schema, jsonObject }: Values): Promise<CompleteOptions["json"]> {
  if (schema === undefined) return jsonObject ? "object" : undefined
  if (jsonObject) throw usageError("--json-object is what --schema says already. Leave it out")
  const found = parseJson(await readFile(schema), schema, mostDepth)
  if (isObject(found)) return found
  throw new TypeError(`${schema} holds ${show(found)}, expected a JSON schema`)
}

/** The options that are given, without those that are not. Throws, as wrong usage, for keyword
 *  arguments that there are not. */
export async function chosenBy(
  flags: Values,
  model: LanguageModel,
  promptLength: number,
): Promise<CompleteOptions> {
  const { badWord, logitBias, earlyStopping, generateKwargs, json: _, ...plain } = flags
  const json = await jsonOf(flags)
  const byName = [
    ...(["lengthPenalty", "numBeams", "numReturnSequences", "logprobs"] as const),
    ...(["promptLookupNumTokens", "assistantEarlyExit"] as const),
  ]
  const names = [...(Object.keys(numbers) as Numeric[]), ...byName]
  const given = names.filter((name) => plain[name] !== undefined)
  const kwargs = Object.fromEntries(generateKwargs ?? [])
  const { generation } = model.config
  return {
    ...(generateKwargs
      ? await asUsage(() => optionsOfKwargs(kwargs, promptLength, generation))
      : {}),
    ...Object.fromEntries(given.map((name) => [name, plain[name]])),
    ...(json === undefined ? {} : { json }),
    ...(badWord ? { badWords: badWord } : {}),
    ...(logitBias ? { logitBias: Object.fromEntries(logitBias) } : {}),
    ...(earlyStopping
      ? { earlyStopping: earlyStopping === "never" ? "never" : earlyStopping === "true" }
      : {}),
  }
}
