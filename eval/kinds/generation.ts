// What the model writes, compared with the right answer, after a filter has found the answer in it.
import { spaces } from "../../model/python/spaces.ts"
import type { Filter, Generation, Task } from "../types.ts"
import { checkDeclared, configOf, type Declared, metricsOf } from "./shared.ts"

/** A question, and the texts that answer it. */
export interface GenerationTask<D> extends Declared<D> {
  /** The question. */
  text(document: D): string
  /** The right answer, or several of which one is to be met; the first stands in examples. */
  answers(document: D): readonly string[]
  /** Default: until the text between examples. */
  readonly until?: readonly string[]
  readonly maxNewTokens?: number
  readonly temperature?: number
  readonly comparison?: Comparison
  readonly filters?: readonly Filter[]
}

/** What is not looked at when two texts are compared. */
export interface Comparison {
  readonly ignoreCase?: boolean
  readonly ignorePunctuation?: boolean
  readonly ignoreNumbers?: boolean
  /** Regular expressions of what is taken out first. */
  readonly ignored?: readonly RegExp[]
}

/** A task of a declaration, with the metric "exact_match". */
export function generationTask<D>(declared: GenerationTask<D>): Task<D> {
  checkDeclared("generationTask", declared, ["text", "answers"])
  const { name, text, answers, delimiter = " ", shotDelimiter = "\n\n" } = declared
  const { until = [shotDelimiter], maxNewTokens, temperature, comparison = {} } = declared
  const how: Omit<Generation, "context"> = {
    until,
    ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
    ...(temperature === undefined ? {} : { temperature }),
  }
  return {
    ...declared,
    target: (document) =>
      answers(document).length === 1 ? answers(document)[0] : answers(document),
    example: (document) => text(document) + delimiter + answers(document)[0],
    requests: (document, lead) => [
      { kind: "generateUntil", context: lead + text(document), ...how },
    ],
    score(document, [answer]) {
      const found = compared(answer as string, comparison)
      const isMet = answers(document).some((each) => compared(each, comparison) === found)
      return { exact_match: Number(isMet) }
    },
    metrics: metricsOf(name, declared.metrics, ["exact_match"]),
    config: configOf("generate_until", declared, { doc_to_text: text, doc_to_target: answers }),
  }
}

/** A text as it is compared. */
function compared(text: string, how: Comparison): string {
  let out = text
  for (const pattern of how.ignored ?? []) out = out.replace(pattern, "")
  if (how.ignoreCase) out = out.toLowerCase()
  // Those of ASCII, as Python's string.punctuation has them.
  if (how.ignorePunctuation) out = out.replace(/[!-/:-@[-`{-~]/g, "")
  if (how.ignoreNumbers) out = out.replace(/[0-9]/g, "")
  return out
}

const space = new RegExp(`^[${spaces}]+|[${spaces}]+$`, "g")

/** The n-th match of a pattern (from the end where it is negative): its first group that has any text, or
 *  all of it; `fallback` where there is none. */
export function regexFilter(
  name: string,
  pattern: RegExp,
  select = 0,
  fallback = "[invalid]",
): Filter {
  if (typeof name !== "string") throw new TypeError("regexFilter: the name must be a text")
  if (!(pattern instanceof RegExp) || !pattern.global) {
    throw new TypeError("regexFilter: the pattern must be a regular expression with the flag g")
  }
  return {
    name,
    apply(answer) {
      const found = [...String(answer).matchAll(pattern)].at(select)
      if (!found) return fallback
      const [whole, ...groups] = found
      const text = groups.length > 1 ? groups.find((group) => group) : (groups[0] ?? whole)
      return (text ?? fallback).replace(space, "")
    },
  }
}
