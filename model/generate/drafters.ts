// Who drafts, as options ask for it.
import { show } from "../json.ts"
import type { LanguageModel } from "../language_model.ts"
import { Assistant, firstLayers, type Schedule } from "./assistant.ts"
import type { Drafter, DraftRound } from "./draft.ts"
import type { HostChoice } from "./host.ts"
import { lookedUp } from "./lookup.ts"
import type { Checked } from "./options.ts"
import type { Seat } from "./pool.ts"
import { checkRange } from "./processors/check.ts"
import { type Source, sessionOf, sourceOf } from "./source.ts"

/** Speculative decoding: several tokens are guessed, and one run of the model says how many of them hold.
 *  The likeliest tokens stay what they are without it, and so do those that are drawn, but for
 *  `assistantModel` and `assistantEarlyExit`, which draw others of the same distribution. */
export interface DraftOptions {
  /** Guesses so many tokens at most from what followed the last tokens where they stood before. */
  readonly promptLookupNumTokens?: number
  /** How many of the last tokens are looked for at most; default 2. */
  readonly maxMatchingNgramSize?: number
  /** Guesses by a smaller model of the same vocabulary. */
  readonly assistantModel?: LanguageModel
  /** Guesses by so many of the model's own first layers. */
  readonly assistantEarlyExit?: number
  /** Tokens that a model guesses in the first round; default 5. */
  readonly numAssistantTokens?: number
  /** "heuristic", the default: two more after a round that held whole, one less after any other;
   *  "constant": as many in each. Each generation begins anew. */
  readonly numAssistantTokensSchedule?: "heuristic" | "constant"
  /** Is told how each round went. */
  readonly onDraft?: (round: DraftRound) => void
}

/** Options as they were checked. */
export interface DraftChoice {
  readonly lookup: number | undefined
  readonly longestMatch: number
  readonly schedule: Schedule
  readonly assistant: Source | undefined
  readonly layers: number | undefined
  readonly onRound: ((round: DraftRound) => void) | undefined
}

/** Who drafts; undefined for nobody. Throws TypeError or RangeError naming the option. */
export function checkDraft(
  options: DraftOptions,
  { vocabSize, layers: all }: { readonly vocabSize: number; readonly layers: number },
): DraftChoice | undefined {
  const { promptLookupNumTokens: lookup, assistantModel, assistantEarlyExit: layers } = options
  const { onDraft: onRound } = options
  const given = Object.entries({ promptLookupNumTokens: lookup, assistantModel })
    .concat(Object.entries({ assistantEarlyExit: layers }))
    .filter(([, value]) => value !== undefined)
  if (given.length > 1) {
    const names = given.map(([name]) => name).join(" and ")
    throw new TypeError(`generate: ${names} are given, expected one of them`)
  }
  if (lookup !== undefined) {
    checkRange("generate: promptLookupNumTokens", lookup, { from: 1, isWhole: true })
  }
  if (layers !== undefined) {
    checkRange("generate: assistantEarlyExit", layers, { from: 1, to: all - 1, isWhole: true })
  }
  if (onRound !== undefined && typeof onRound !== "function") {
    throw new TypeError(`generate: onDraft is ${show(onRound)}, expected a function`)
  }
  const assistant =
    assistantModel === undefined ? undefined : assistantOf(assistantModel, vocabSize)
  const numbers = checkNumbers(options)
  return given.length > 0 ? { lookup, assistant, layers, onRound, ...numbers } : undefined
}

/** How much is guessed, and by how much of the text. */
function checkNumbers(options: DraftOptions): Pick<DraftChoice, "longestMatch" | "schedule"> {
  const { maxMatchingNgramSize: longestMatch = 2, numAssistantTokens: first = 5 } = options
  const { numAssistantTokensSchedule: change = "heuristic" } = options
  checkRange("generate: maxMatchingNgramSize", longestMatch, { from: 1, isWhole: true })
  checkRange("generate: numAssistantTokens", first, { from: 1, isWhole: true })
  if (change === "heuristic" || change === "constant") {
    return { longestMatch, schedule: { first, change } }
  }
  throw new TypeError(
    `generate: numAssistantTokensSchedule is ${show(change)}, expected "heuristic" or "constant"`,
  )
}

function assistantOf(model: LanguageModel, vocabSize: number): Source {
  const source = sourceOf(model)
  if (!source) {
    throw new TypeError(`generate: assistantModel is ${show(model)}, expected a LanguageModel`)
  }
  const size = source.decoder.config.vocabSize
  if (size === vocabSize) return source
  throw new RangeError(
    `generate: assistantModel has a vocabulary of ${size}, this model one of ${vocabSize}. ` +
      "Give one of the same tokenizer",
  )
}

/** Begins to draft; what it takes is given back with the seat. */
export async function openDrafter(
  { lookup, longestMatch, assistant, layers, schedule }: DraftChoice,
  source: Source,
  seat: Seat,
  options: Checked,
  host: HostChoice,
): Promise<Drafter> {
  if (lookup !== undefined) {
    const propose: Drafter["propose"] = async ({ ids }) => ({
      ids: lookedUp(ids, lookup, longestMatch),
    })
    return { propose, planned: undefined, told() {} }
  }
  const own = assistant ?? source
  const { usage, residence, pool } = own
  const isApart = usage !== source.usage
  if (isApart) await usage.reading(() => residence.restored())
  const session =
    layers === undefined
      ? sessionOf(own, (kind, open) => seat.take(kind, open, pool))
      : seat.take(`session of ${layers} layers`, firstLayers(own, layers))
  // Its own weights are kept where they are by whoever generates.
  const within = <T>(work: () => Promise<T>): Promise<T> =>
    isApart ? usage.reading(() => residence.during(work)) : work()
  return new Assistant(session, { within, options, host, schedule, lost: residence.lost })
}
