// How likely one continuation of a text is, such as its last word, and whether the model would write it.
import type { LogLikelihood, Task } from "../types.ts"
import { checkDeclared, configOf, type Declared, metricsOf, only } from "./shared.ts"

/** A text, and what follows it. */
export interface LogLikelihoodTask<D> extends Declared<D> {
  /** What stands before it. */
  text(document: D): string
  /** Scored as it is: a blank before it is a part of it. */
  continuation(document: D): string
}

const metricNames = ["perplexity", "acc"]

/** A task of a declaration, with the metrics "perplexity" and "acc". */
export function logLikelihoodTask<D>(declared: LogLikelihoodTask<D>): Task<D> {
  checkDeclared("logLikelihoodTask", declared, ["text", "continuation"])
  const { name, text, continuation, delimiter = " ", metrics } = declared
  return {
    ...declared,
    target: continuation,
    example: (document) => text(document) + delimiter + continuation(document),
    requests: (document, lead) => [
      {
        kind: "logLikelihood",
        context: lead + text(document),
        continuation: continuation(document),
      },
    ],
    score(_, [answer]) {
      const { logProb, isGreedy } = answer as LogLikelihood
      return only({ perplexity: logProb, acc: Number(isGreedy) }, metrics)
    },
    metrics: metricsOf(name, metrics, metricNames),
    config: configOf("loglikelihood", declared, {
      doc_to_text: text,
      doc_to_target: continuation,
    }),
  }
}
