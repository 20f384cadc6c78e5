// Labelled texts as the rows of a batch, and how likely a model finds what counts of them.
import type { LanguageModel } from "../../model/index.ts"
import { ignoredLabel, type Labelled } from "../preference/batch.ts"
import type { ReferenceScorer } from "../preference/reference.ts"
import { checkBatch } from "../step/batch.ts"

/** Positions of rows for texts of up to so many: few lengths, so that few plans are recorded. */
export function rowLength(longest: number, maxContext: number): number {
  const step = longest <= 256 ? 16 : longest <= 1024 ? 64 : 256
  return Math.min(Math.ceil(Math.max(1, longest) / step) * step, maxContext)
}

/** Texts that lie in rows one after the other, and do not see each other: inputs, what follows them, and
 *  where each position's text begins.  (B, T) each */
export function batchRows(rows: readonly (readonly Labelled[])[], T: number) {
  const inputs = rows.map(() => new Int32Array(T))
  const targets = rows.map(() => new Int32Array(T).fill(ignoredLabel))
  const starts = rows.map(() => new Int32Array(T))
  for (const [r, texts] of rows.entries()) {
    let at = 0
    for (const { ids, labels } of texts) {
      const length = ids.length - 1
      for (let t = 0; t < length; t++) {
        ;(inputs[r] as Int32Array)[at + t] = ids[t] as number
        ;(targets[r] as Int32Array)[at + t] = labels[t + 1] as number
      }
      starts[r]?.fill(at, at, at + length)
      at += length
    }
    starts[r]?.fill(at < T ? at : 0, at)
  }
  return { inputs, targets, starts }
}

/** Labels that count. */
export const countedIn = ({ labels }: Labelled): number =>
  labels.slice(1).reduce((sum, label) => sum + Number(label !== ignoredLabel), 0)

/** Sums of the log-probabilities of the labels that count, of each text, so many at a time. */
export async function logProbsOf(
  scorer: ReferenceScorer,
  { config }: LanguageModel,
  texts: readonly Labelled[],
  size: number,
): Promise<number[]> {
  const found = new Array<number>(texts.length).fill(0)
  const byLength = texts.map((_, i) => i)
  // Those of one length are computed together.
  const lengthOf = (i: number): number => (texts[i] as Labelled).ids.length
  byLength.sort((a, b) => lengthOf(a) - lengthOf(b) || a - b)
  const rules = { ignoreIndex: ignoredLabel, accumulation: 1 }
  for (let at = 0; at < texts.length; at += size) {
    const some = byLength.slice(at, at + size)
    // A batch that is not full ends in rows that are read again.
    while (some.length < size) some.push(some[0] as number)
    const T = rowLength(Math.max(...some.map(lengthOf)) - 1, config.maxContext)
    const rows = some.map((i) => [texts[i] as Labelled])
    const { inputs, targets, starts } = batchRows(rows, T)
    const { parts } = checkBatch(config, rules, inputs, targets, starts)
    const sums = await scorer.score(parts[0] as (typeof parts)[0], size, T)
    for (const [n, i] of some.entries()) found[i] = sums[n] as number
  }
  return found
}
