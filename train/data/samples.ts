// Samples as the original makes them: each piece of a document, tokenized by itself, is one, cut off
// or padded to the length. What a piece is and in which order they come is walk.ts's matter.
import type { Tokenizer } from "../../model/index.ts"
import { printable } from "../../model/printable.ts"
import { inEither } from "../spelling.ts"
import type { DataConfig } from "./config.ts"
import { normalizerOf } from "./normalize.ts"
import { cleanedLength } from "./pieces.ts"
import { beginning, type Position, type Share, walk } from "./walk.ts"

/** T token ids and the ids that follow them; the padding id in `targets` carries no loss. */
export interface Sample {
  readonly inputs: Int32Array
  readonly targets: Int32Array
  /** With `pack`: the first position of each position's document in the sample. */
  readonly starts?: Int32Array
}

/** Where a worker is: all it takes to go on with the sample after the last one. */
export interface WorkerState {
  readonly position: Position
  /** Records and files skipped before it. */
  readonly skipped: number
  /** With `pack`: where in the piece the block of windows begins, its number, and how many of its
   *  windows were handed out. */
  readonly offset?: number
  readonly block?: number
  readonly taken?: number
}

export const firstState = ({ pack }: DataConfig): WorkerState => ({
  position: beginning,
  skipped: 0,
  ...(pack && { offset: 0, block: 0, taken: 0 }),
})

export type Placed = readonly [sample: Sample, after: WorkerState]

/** The samples of a share from a place on. Throws where an epoch has none. */
export async function* samples(
  config: DataConfig,
  tokenizer: Tokenizer,
  share: Share,
  from: WorkerState,
): AsyncGenerator<Placed> {
  const { minCharacters, minTokens, sequenceLength } = config
  const normalize = normalizerOf(config.normalization)
  let { skipped } = from
  const counting = countSkips(share, () => skipped++)
  let isEmpty = isFirst(from.position)
  for await (const step of walk(config, counting, from.position)) {
    if (step === null) {
      if (isEmpty) refuseEmpty(config, share)
      isEmpty = true
      continue
    }
    if (cleanedLength(step.text, minCharacters) < minCharacters) continue
    const ids = tokenizer.encode(normalize(step.text), { bos: tokenizer.bosId >= 0, eos: true })
    if (ids.length < minTokens) continue
    isEmpty = false
    const position = { ...step.at, piece: step.at.piece + 1 }
    yield [padded(ids, sequenceLength, tokenizer.padId), { position, skipped }]
  }
}

function padded(ids: readonly number[], length: number, padId: number): Sample {
  const row = new Int32Array(length + 1).fill(padId)
  row.set(ids.length > row.length ? ids.slice(0, row.length) : ids)
  return { inputs: row.slice(0, length), targets: row.slice(1) }
}

/** A share whose skips are counted as well as reported. */
export const countSkips = (share: Share, count: () => void): Share => ({
  ...share,
  skip(message) {
    count()
    share.skip(message)
  },
})

/** Is it where an epoch begins? Then all of that epoch is still to come. */
export const isFirst = ({ file, record, piece }: Position): boolean =>
  file === 0 && record === 0 && piece === 0

/**
 * Throws where an epoch had no sample: others would follow it for ever. Only in validation may a
 * worker have none.
 */
export function refuseEmpty(config: DataConfig, { files, world, rank, split }: Share): void {
  const { minCharacters, minTokens, shardBy } = config
  if (split === "validation" && world > 1) return
  const who = world === 1 ? "" : ` for worker ${rank} of ${world}`
  const rest = files.length > 1 ? `, first of ${files.length} files,` : ""
  const fewer = world === 1 ? "" : `, or use fewer workers: they share ${shardBy}`
  throw new RangeError(
    `an epoch of the data has no sample${who}: every document of ` +
      `${printable(files[0]?.path ?? "no file", "line")}${rest} is shorter than ` +
      `${inEither("minCharacters")} ${minCharacters} or ${inEither("minTokens")} ${minTokens}, or was skipped. ` +
      `Lower these${fewer}`,
  )
}
