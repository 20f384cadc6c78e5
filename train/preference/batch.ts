// Preference pairs as batches: preferred answers first, then the others, each a row of tokens and what
// is to follow them.
import { isList } from "../../model/index.ts"
import type { Batch } from "../step/batch.ts"

/** A prompt with an answer: ids, and as many labels, −100 where they do not count. */
export interface Labelled {
  readonly ids: readonly number[]
  readonly labels: readonly number[]
}

/** Two answers to one prompt. */
export interface PreferencePair {
  readonly chosen: Labelled
  readonly rejected: Labelled
  /** Log-probabilities of the answers under a reference, where a step is given them. */
  readonly reference?: { readonly chosen: number; readonly rejected: number }
}

/** The references of all rows of micro-batches, in their order. Throws TypeError where one is missing. */
export function givenOf(
  where: string,
  microBatches: readonly (readonly PreferencePair[])[],
): Float32Array {
  const given = microBatches.flatMap((pairs, i) =>
    (["chosen", "rejected"] as const).flatMap((role) =>
      pairs.map(({ reference }, n) => {
        const value = reference?.[role]
        if (typeof value === "number") return value
        throw new TypeError(
          `${where}: micro-batch ${i}, pair ${n} must have a reference, such as ` +
            "{ chosen: -8.5, rejected: -9.1 }",
        )
      }),
    ),
  )
  return Float32Array.from(given)
}

/** Labels of this id carry no loss. */
export const ignoredLabel = -100

/** Rows are filled up to a multiple of this, so that few lengths are recorded. */
const lengthStep = 16

/** Rows of all micro-batches, one after another: in each the preferred answers, then the others. Throws
 *  TypeError and RangeError naming the pair. */
export function pairRows(
  where: string,
  microBatches: readonly (readonly PreferencePair[])[],
  maxContext: number,
): { inputs: Batch; targets: Batch } {
  const size = microBatches[0]?.length ?? 0
  const rows: Labelled[] = []
  for (const [i, pairs] of microBatches.entries()) {
    const at = `${where}: micro-batch ${i}`
    if (!isList(pairs) || pairs.length === 0) throw new TypeError(`${at} must be a list of pairs`)
    if (pairs.length !== size) {
      throw new RangeError(
        `${at} has ${pairs.length} pairs, the first has ${size}. Make them equal`,
      )
    }
    for (const role of ["chosen", "rejected"] as const) {
      for (const [n, pair] of pairs.entries()) {
        rows.push(checked(`${at}, pair ${n}: ${role}`, pair?.[role], maxContext))
      }
    }
  }
  const longest = Math.max(1, ...rows.map(({ ids }) => ids.length - 1))
  const T = Math.min(Math.ceil(longest / lengthStep) * lengthStep, maxContext)
  const filled = (values: readonly number[], fill: number): number[] => [
    ...values,
    ...new Array<number>(T - values.length).fill(fill),
  ]
  return {
    inputs: rows.map(({ ids }) => filled(ids.slice(0, -1), 0)),
    targets: rows.map(({ labels }) => filled(labels.slice(1), ignoredLabel)),
  }
}

function checked(name: string, given: Labelled | undefined, maxContext: number): Labelled {
  const { ids, labels } = given ?? {}
  if (!ids || !labels || !isList(ids) || !isList(labels)) {
    throw new TypeError(
      `${name} must have ids and labels, such as { ids: [1, 5], labels: [-100, 5] }`,
    )
  }
  if (ids.length !== labels.length) {
    throw new RangeError(`${name} has ${ids.length} ids and ${labels.length} labels`)
  }
  if (ids.length < 2 || ids.length - 1 > maxContext) {
    throw new RangeError(
      `${name} has ${ids.length} tokens, expected from 2 to ${maxContext + 1} of this model's context`,
    )
  }
  if (labels.slice(1).every((label) => label === ignoredLabel)) {
    throw new RangeError(`${name}: every label is ${ignoredLabel}, so nothing of the answer counts`)
  }
  return { ids, labels }
}
