// How likely whole texts are: perplexity per word and per byte, and bits per byte.
import { spaces } from "../../model/python/spaces.ts"
import type { Task } from "../types.ts"
import { checkDeclared, configOf, type Declared, metricsOf, only } from "./shared.ts"

/** A text to be scored as a whole. */
export interface PerplexityTask<D> extends Declared<D> {
  /** The text. */
  content(document: D): string
}

const metricNames = ["word_perplexity", "byte_perplexity", "bits_per_byte"]
const space = new RegExp(`[${spaces}]+`)

/** A task of a declaration, with the metrics "word_perplexity", "byte_perplexity" and "bits_per_byte". */
export function perplexityTask<D>(declared: PerplexityTask<D>): Task<D> {
  checkDeclared("perplexityTask", declared, ["content"])
  const { name, content, metrics } = declared
  return {
    ...declared,
    shots: 0,
    target: content,
    requests: (document) => [{ kind: "rolling", text: content(document) }],
    score(document, [answer]) {
      const text = content(document)
      const logProb = answer as number
      const bytes = [logProb, new TextEncoder().encode(text).length] as const
      const words = [logProb, text.split(space).length] as const
      return only({ word_perplexity: words, byte_perplexity: bytes, bits_per_byte: bytes }, metrics)
    },
    metrics: metricsOf(name, metrics, metricNames),
    config: configOf("loglikelihood_rolling", declared, {
      doc_to_text: "",
      doc_to_target: content,
    }),
  }
}
