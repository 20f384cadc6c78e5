// Questions with several answers, of which the model finds one the likeliest: as a continuation of the
// question, or, where each answer makes a context of its own, with one continuation after all of them.
import { lengthOf } from "../../model/python/text.ts"
import { wrongColumn } from "../data/columns.ts"
import type { Answer, LogLikelihood, Metric, Source, Task } from "../types.ts"

/** A question with choices, as it is declared. */
export interface MultipleChoice<D> extends Omit<Task, Derived> {
  readonly source: Source<D>
  /** The question; without it choices are contexts, and `continuation` follows each. */
  text?(document: D): string
  /** The answers, or where `text` is none the contexts. */
  choices(document: D): readonly string[]
  /** What follows each context, where choices are contexts. */
  continuation?(document: D): string
  /** The position of the right answer among the choices. */
  gold(document: D): number
  /** Between question and answer; default a blank. */
  readonly delimiter?: string
  /** "acc", "acc_norm", "exact_match", or what `scored` gives. */
  readonly metrics: readonly string[]
  readonly lowerIsBetter?: true
  /** By which a row is refused: columns that hold the choices and the right one. */
  readonly columns: { readonly choices: string; readonly gold: string }
  /** What groups of the original it is in, and what text shows that it was trained on. */
  readonly group?: string | readonly string[]
  readonly decontaminate?: string
  /** In place of the accuracies. */
  scored?(document: D, logProbs: readonly number[]): Readonly<Record<string, number>>
}

/** What `multipleChoice` makes of the rest. */
type Derived = "source" | "requests" | "score" | "example" | "target" | "metrics" | "filters"

/** A task of a declaration. Rows are refused whose choices are none, or whose right one is not there. */
export function multipleChoice<D>(declared: MultipleChoice<D>): Task<D> {
  const { text, choices, gold, continuation, delimiter = " ", metrics } = declared
  const metric: Metric = { aggregation: "mean", higherIsBetter: !declared.lowerIsBetter }
  const asked = (document: D, lead: string, choice: string) =>
    text
      ? { context: lead + text(document), continuation: delimiter + choice }
      : { context: lead + choice, continuation: delimiter + (continuation?.(document) ?? "") }
  const right = (document: D): string => choices(document)[gold(document)] as string
  return {
    ...declared,
    source: checked(declared),
    target: (document) => continuation?.(document) ?? gold(document),
    example(document) {
      const { context, continuation } = asked(document, "", right(document))
      return context + continuation
    },
    requests: (document, lead) =>
      choices(document).map((choice) => ({
        kind: "logLikelihood" as const,
        ...asked(document, lead, choice),
      })),
    score(document, answers) {
      const lls = logProbsOf(answers)
      if (declared.scored) return declared.scored(document, lls)
      const all = scoresOf(choices(document), answers as readonly LogLikelihood[], gold(document))
      return Object.fromEntries(Object.entries(all).filter(([name]) => metrics.includes(name)))
    },
    metrics: Object.fromEntries(metrics.map((name) => [name, metric])),
    config: configOf(declared),
  }
}

/** As results have it: functions as their source. */
function configOf<D>(declared: MultipleChoice<D>): Task["config"] {
  const { text, choices, gold, continuation, delimiter = " ", group, decontaminate } = declared
  return {
    ...(group === undefined ? {} : { group: [group].flat() }),
    doc_to_text: String(text ?? gold),
    doc_to_target: String(continuation ?? gold),
    doc_to_choice: String(choices),
    target_delimiter: delimiter,
    output_type: "multiple_choice",
    should_decontaminate: decontaminate !== undefined,
    ...(decontaminate === undefined ? {} : { doc_to_decontamination_query: decontaminate }),
    ...declared.config,
  }
}

const logProbsOf = (answers: readonly Answer[]): number[] =>
  (answers as readonly LogLikelihood[]).map(({ logProb }) => logProb)

/** The first of the greatest. */
function argmax(values: readonly number[]): number {
  let best = 0
  for (let i = 1; i < values.length; i++) {
    if ((values[i] as number) > (values[best] as number)) best = i
  }
  return best
}

/** By likelihood, by likelihood per character, and whether the right one is what the model would write. */
function scoresOf(
  choices: readonly string[],
  answers: readonly LogLikelihood[],
  gold: number,
): Record<"acc" | "acc_norm" | "exact_match", number> {
  const lls = logProbsOf(answers)
  const perCharacter = lls.map((ll, i) => ll / lengthOf(choices[i] as string))
  return {
    acc: Number(argmax(lls) === gold),
    acc_norm: Number(argmax(perCharacter) === gold),
    exact_match: Number(answers[gold]?.isGreedy ?? false),
  }
}

function checked<D>({ source, choices, gold, columns }: MultipleChoice<D>): Source<D> {
  return {
    ...source,
    read(row) {
      const document = source.read(row)
      if (document === undefined) return undefined
      const count = choices(document).length
      if (count === 0) throw wrongColumn(columns.choices, [], "one choice or more")
      const right = gold(document)
      if (!(Number.isInteger(right) && right >= 0 && right < count)) {
        throw wrongColumn(columns.gold, row[columns.gold], `the label of one of ${count} choices`)
      }
      return document
    },
  }
}
