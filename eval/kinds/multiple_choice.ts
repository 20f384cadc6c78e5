// Questions with several answers, of which the model finds one the likeliest: as a continuation of the
// question, or, where each answer makes a context of its own, with one continuation after all of them.
import { lengthOf } from "../../model/python/text.ts"
import { wrongColumn } from "../data/columns.ts"
import type { Answer, LogLikelihood, Metric, Source, Task } from "../types.ts"
import { checkDeclared, configOf, type Declared, metricsOf, only } from "./shared.ts"

/** A question with choices, as it is declared. */
export interface MultipleChoice<D> extends Declared<D> {
  /** The question; without it choices are contexts, and `continuation` follows each. */
  text?(document: D): string
  /** The answers, or where `text` is none the contexts. */
  choices(document: D): readonly string[]
  /** What follows each context, where choices are contexts. */
  continuation?(document: D): string
  /** The position of the right answer among the choices. */
  gold(document: D): number
  /** "acc", "acc_norm", "exact_match", or what `scored` gives. */
  readonly metrics: readonly string[]
  readonly lowerIsBetter?: true
  /** By which a row is refused: columns that hold the choices and the right one. */
  readonly columns: { readonly choices: string; readonly gold: string }
  /** In place of the accuracies. */
  scored?(document: D, logProbs: readonly number[]): Readonly<Record<string, number>>
}

/** A task of a declaration. Rows are refused whose choices are none, or whose right one is not there. */
export function multipleChoice<D>(declared: MultipleChoice<D>): Task<D> {
  checkDeclared("multipleChoice", declared, ["choices", "gold"])
  const { text, choices, gold, continuation, delimiter = " ", metrics } = declared
  const metric: Metric = { aggregation: "mean", higherIsBetter: !declared.lowerIsBetter }
  const known = ["acc", "acc_norm", "exact_match"]
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
      return only(all, metrics)
    },
    metrics: declared.scored
      ? Object.fromEntries(metrics.map((name) => [name, metric]))
      : metricsOf(declared.name, metrics, known),
    config: configOf("multiple_choice", declared, {
      doc_to_text: text ?? gold,
      doc_to_target: continuation ?? gold,
      doc_to_choice: choices,
    }),
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
        throw wrongColumn(
          columns.gold,
          row[columns.gold] ?? right,
          `the label of one of ${count} choices`,
        )
      }
      return document
    },
  }
}
