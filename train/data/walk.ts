// A worker's way through its files: epoch after epoch, file after file, piece after piece, from the
// beginning or from any place on it. What becomes of the pieces is left to samples.ts and pack.ts.
import type { DataConfig } from "./config.ts"
import { type DataFile, fileOrder, type Sharing } from "./files.ts"
import { splitter, type TextPiece } from "./pieces.ts"
import { type Item, type Problem, readItems } from "./readers.ts"

/** A place between two pieces: the next one to be read. All are numbered from 0. */
export interface Position {
  readonly epoch: number
  /** In the worker's order of the epoch. */
  readonly file: number
  readonly record: number
  readonly piece: number
  /** Runs of the epoch before this document; a run is what is shared out as one. */
  readonly run: number
}

export interface PieceAt extends TextPiece {
  /** Where this piece is, to begin with it again. */
  readonly at: Position
  /** Does nothing of this worker's own come right before it in its document? */
  readonly isStart: boolean
}

/** A share of the data, and how often it is read. */
export interface Share extends Sharing {
  readonly files: readonly DataFile[]
  readonly epochs: number
  /** Called with what is skipped. */
  readonly skip: (message: string) => void
}

export const beginning: Position = { epoch: 0, file: 0, record: 0, piece: 0, run: 0 }

/** Pieces of a document that stay together where documents are shared out: a run. */
const runPieces = 64

/** The pieces of a share in order; null where an epoch ends. */
export async function* walk(
  config: DataConfig,
  share: Share,
  from: Position,
): AsyncGenerator<PieceAt | null> {
  const order = fileOrder(share.files, config, share)
  let place = from
  for (; place.epoch < share.epochs; place = { ...beginning, epoch: place.epoch + 1 }) {
    const { epoch } = place
    const files = order(epoch)
    let run = place.run
    for (let file = place.file; file < files.length; file++) {
      const start = file === place.file ? place : { ...beginning, epoch, file, run }
      run = yield* walkFile(config, share, files[file] as DataFile, start)
    }
    yield null
  }
}

/** The share's pieces of one file; returns the runs of the epoch up to its end. */
async function* walkFile(
  config: DataConfig,
  share: Share,
  file: DataFile,
  from: Position,
): AsyncGenerator<PieceAt, number> {
  const byDocuments = config.shardBy === "documents"
  const pieces = splitter(config.wordsPerPiece)
  const isCut = byDocuments && share.world > 1
  const isMine = (run: number): boolean => !byDocuments || run % share.world === share.rank
  let { run } = from
  /** Pieces met of the document that `from` lies in. */
  let met = 0
  const isMissed = (): boolean => met < from.piece || (met === 0 && from.record > 0)
  let hasProblems = false
  const isWanted = wantedOf(config, share)
  const problem = (error: Error): void => {
    hasProblems = true
    skipOrThrow(config, share, error)
  }
  for await (const item of itemsOf(config, file, from, problem)) {
    if (isProblem(item)) {
      const isNew = item.record > from.record || met >= from.piece
      if (isNew && isMine(run)) problem(item.error)
      continue
    }
    for (const piece of pieces(item)) {
      if (piece.record !== from.record && isMissed()) throw noPlace(file, from)
      const isBefore = piece.record === from.record && piece.piece < from.piece
      if (piece.record === from.record) met++
      if (!isBefore && isMine(run + runOf(piece.piece)) && isWanted(piece.record, piece.piece)) {
        const at = { ...from, record: piece.record, piece: piece.piece, run }
        const isFirst = piece.piece === 0 || (isCut && piece.piece % runPieces === 0)
        const isStart = isFirst || !isWanted(piece.record, piece.piece - 1)
        yield { ...piece, at, isStart }
      }
      if (piece.last) run += runOf(piece.piece) + 1
    }
  }
  if (isMissed() && !hasProblems) throw noPlace(file, from)
  return run
}

/**
 * Which pieces a share reads where some are held out: of every document pieces at equal distances,
 * begun with one that depends on its number, so that of many short documents some are held out whole.
 */
function wantedOf({ holdOut, validation }: DataConfig, { split }: Share) {
  if (holdOut === 0 || validation.length > 0) return () => true
  const period = Math.round(1 / holdOut)
  return (record: number, piece: number): boolean => {
    const isHeldOut = ((Math.imul(record, 0x9e3779b1) >>> 8) + piece) % period === period >> 1
    return isHeldOut === (split === "validation")
  }
}

const runOf = (piece: number): number => Math.floor(piece / runPieces)

const isProblem = (item: Item): item is Problem => "error" in item

/** A state comes from a file, and what it goes on from must be in the data. */
const noPlace = ({ path }: DataFile, { record, piece }: Position): Error =>
  new RangeError(
    `state: its place is record ${record}, piece ${piece}, and ${path} has none such. ` +
      "Go on from another checkpoint",
  )

/** The items of a file one by one; with `skip` a file that fails ends early. */
async function* itemsOf(
  config: DataConfig,
  file: DataFile,
  from: Position,
  problem: (error: Error) => void,
): AsyncGenerator<Item> {
  try {
    for await (const items of readItems(file, from.record, config.readerChunkSize)) yield* items
  } catch (error) {
    problem(error as Error)
  }
}

function skipOrThrow({ onError }: DataConfig, { skip }: Share, error: Error): void {
  if (onError === "stop") throw error
  skip(error.message)
}
