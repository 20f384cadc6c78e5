// Records of a file as examples: what cannot be used ends the run with one message that names it, or is
// passed over and counted. Which are held out follows from the seed alone.
import { rowsOf } from "../../model/files/rows.ts"
import { nextTurn } from "../../model/index.ts"
import { numpyPermutation } from "../preference/order.ts"
import { inEither } from "../spelling.ts"

interface Examples<E> {
  /** Record by record. */
  readonly records: readonly (readonly E[])[]
  readonly skipped: number
}

interface ReadingOptions {
  readonly skipBad: boolean
  readonly signal?: AbortSignal | undefined
  readonly onSkip?: (message: string) => void
  readonly onProgress?: (what: string, part?: number) => void
}

/** Records in whose midst others are let run. */
const together = 64

/** The examples of every record. Throws as `exampleOf` does, naming the file and the record, unless such are
 *  to be passed over; RangeError where none is left, and the signal's reason. */
export async function readExamples<E>(
  path: string,
  exampleOf: (record: Readonly<Record<string, unknown>>) => Promise<readonly E[]>,
  { skipBad, signal, onSkip, onProgress }: ReadingOptions,
): Promise<Examples<E>> {
  const rows = await rowsOf(path)
  const records: (readonly E[])[] = []
  let skipped = 0
  for (const [i, { number, row }] of rows.entries()) {
    if (i % together === 0) {
      onProgress?.("reading records", i / rows.length)
      await nextTurn()
      signal?.throwIfAborted()
    }
    try {
      records.push(await exampleOf(row))
    } catch (error) {
      const message = `${path} record ${number}: ${(error as Error).message}`
      if (!skipBad) throw refusal(error as Error, message)
      skipped++
      onSkip?.(message)
    }
  }
  if (records.length > 0) return { records, skipped }
  throw new RangeError(`${path}: none of its ${rows.length} records can be used`)
}

/** The same kind of error, with the ways out. */
function refusal(error: Error, message: string): Error {
  const text = `${message}. Repair the record, or pass over such ones with ${inEither("skipBad")}`
  if (error instanceof TypeError) return new TypeError(text, { cause: error })
  if (error instanceof RangeError) return new RangeError(text, { cause: error })
  return new Error(text, { cause: error })
}

/** The examples of records to train on, and of a part of these that is held out, in their order. */
export function heldOut<E>(all: readonly (readonly E[])[], part: number, seed: number) {
  const count = Math.floor(all.length * part)
  const chosen = new Set(numpyPermutation(seed, all.length).slice(0, count))
  return {
    training: all.filter((_, i) => !chosen.has(i)).flat(),
    validation: all.filter((_, i) => chosen.has(i)).flat(),
  }
}
