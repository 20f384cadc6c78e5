// Golden generations of transformers, and their options by this package's names.
import type { CompleteOptions, GenerateOptions } from "../index.ts"
import { processorList } from "../model/generate/processors/chain.ts"
import { fixtureJson } from "./fixtures.ts"

export interface Case {
  readonly kwargs: Readonly<Record<string, unknown>> & {
    readonly eos_token_id?: number | readonly number[]
  }
  readonly prompt: readonly number[]
  readonly tokens: readonly number[] | readonly (readonly number[])[]
  readonly sequences_scores?: readonly number[]
  readonly rounds?: readonly (readonly number[])[]
}

export const generationCases: Readonly<Record<string, Case>> =
  fixtureJson("generation/cases.json").cases

const names = new Map<string, string>([
  ...processorList.map(([name, { field }]) => [field, name] as const),
  ["max_new_tokens", "maxNewTokens"],
  ["num_beams", "numBeams"],
  ["num_return_sequences", "numReturnSequences"],
  ["length_penalty", "lengthPenalty"],
  ["early_stopping", "earlyStopping"],
])

/** Options by the names that transformers has for them. */
export function optionsOf(kwargs: Case["kwargs"]): CompleteOptions & GenerateOptions {
  const { do_sample, eos_token_id = [], pad_token_id: _, ...rest } = kwargs
  const entries = Object.entries(rest).map(([field, value]) => [names.get(field), value])
  return {
    stop: [eos_token_id].flat(),
    ...(do_sample ? {} : { temperature: 0 }),
    ...Object.fromEntries(entries),
  }
}
