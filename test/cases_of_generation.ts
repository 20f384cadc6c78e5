// Golden generations of transformers, and their options by this package's names.
import type { CompleteOptions, GenerateOptions } from "../index.ts"
import { optionsOfKwargs } from "../model/index.ts"
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

/** Options by the names that transformers has for them. Without an end in them there is none. */
export const optionsOf = (kwargs: Case["kwargs"]): CompleteOptions & GenerateOptions =>
  ({ stop: [], ...optionsOfKwargs(kwargs, 0) }) as CompleteOptions & GenerateOptions
