// Labelled texts as the rows of a batch, and how likely a model finds what counts of them.
import type { LanguageModel } from "../../model/index.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import { sharedNumbers } from "../parallel/share.ts"
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

/** Places of texts, so many together: out of `window` at a time those that are of a length. */
export function byLength(
  texts: readonly Labelled[],
  size: number,
  window = texts.length,
): number[][] {
  const lengthOf = (i: number): number => (texts[i] as Labelled).ids.length
  const batches: number[][] = []
  for (let from = 0; from < texts.length; from += window) {
    const places = texts.slice(from, from + window).map((_, i) => from + i)
    places.sort((a, b) => lengthOf(a) - lengthOf(b) || a - b)
    for (let at = 0; at < places.length; at += size) batches.push(places.slice(at, at + size))
  }
  return batches
}

/** Sums of the log-probabilities of the labels that count, of each of up to `size` texts; of none this rank
 *  accompanies the others. */
export async function logProbsTogether(
  scorer: ReferenceScorer,
  { config }: LanguageModel,
  texts: readonly Labelled[],
  size: number,
): Promise<readonly number[]> {
  if (texts.length === 0) {
    await scorer.accompany()
    return []
  }
  // A batch that is not full ends in rows that are read again.
  const rows = Array.from({ length: size }, (_, i) => [(texts[i] ?? texts[0]) as Labelled])
  const longest = Math.max(...texts.map(({ ids }) => ids.length))
  const T = rowLength(longest - 1, config.maxContext)
  const { inputs, targets, starts } = batchRows(rows, T)
  const rules = { ignoreIndex: ignoredLabel, accumulation: 1 }
  const { parts } = checkBatch(config, rules, inputs, targets, starts)
  const sums = await scorer.score(parts[0] as (typeof parts)[0], size, T)
  return [...sums.subarray(0, texts.length)]
}

/** The same of any number of texts, so many at a time, by ranks that share them. */
export async function logProbsOf(
  scorer: ReferenceScorer,
  model: LanguageModel,
  texts: readonly Labelled[],
  size: number,
  ranks: Communicator = alone,
): Promise<number[]> {
  const found = new Array<number>(texts.length).fill(0)
  const batches = byLength(texts, size)
  const together = (places: readonly number[]) => {
    const some = places.map((i) => texts[i] as Labelled)
    return logProbsTogether(scorer, model, some, size)
  }
  const work = { count: batches.length, width: size, idle: () => together([]) }
  const all = await sharedNumbers(ranks, work, (b) => together(batches[b] as number[]))
  for (const [b, places] of batches.entries()) {
    for (const [n, i] of places.entries()) found[i] = all[b]?.[n] as number
  }
  return found
}
