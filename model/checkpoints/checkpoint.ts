// What a model's weights are read from, whatever the format: tensors by the names in their file, the
// config beside them or in them, and whatever else a file may carry. What these mean for a model is
// left to others.
import type { CarriedTemplates } from "../chat/templates.ts"
import type { FileTree } from "../files/tree.ts"
import { show } from "../json.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import type { FileBlocks, WeightDType } from "../weights/layout.ts"
import type { QuantizedFormat } from "./quantized_format.ts"

/** A tensor as it lies in a file. */
export interface StoredTensor {
  /** Its name in the file, and the file's, for messages. */
  readonly name: string
  readonly file: string
  /** Type of its elements or blocks as the format calls it. */
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: number
  /** How a kernel takes these bytes as they are: as numbers, or as panels. Undefined for others. */
  readonly form: WeightDType | undefined
  /** Fills `target` with rows [start, start + count): a row of a vector is one number, one of panels a
   *  panel. Throws RangeError for rows that are not there, or do not fill the target. */
  read(start: number, count: number, target: Uint8Array): Promise<void>
  /** The format of the blocks that `read` gives, where a kernel takes them row by row. */
  readonly blocks?: FileBlocks | undefined
  /** The same rows as numbers of f32, each rounded once, where no kernel takes the bytes as they are. */
  readonly asF32?: StoredTensor["read"] | undefined
}

/** A value that was JSON, or would be; `source` names the file in messages. */
export interface Sourced {
  readonly value: unknown
  readonly source: string
}

/** A checkpoint of one format, open. */
export interface OpenCheckpoint {
  /** The folder or the file, for messages. */
  readonly name: string
  /** What config.json says, or would say. */
  readonly config: Sourced | undefined
  /** The same of generation_config.json. */
  readonly generation: Sourced | undefined
  readonly tensors: ReadonlyMap<string, StoredTensor>
  /** Where its matrices are the panels of this engine: their format. They have the engine's names then,
   *  each matrix as it is kept, of however many tensors it was made. */
  readonly panels?: QuantizedFormat | undefined
  /** Chat templates that its format carries. */
  readonly chatTemplates?: CarriedTemplates | undefined
  tokenizer(): Promise<Tokenizer | undefined>
  close(): Promise<void>
}

export interface Checkpoint extends OpenCheckpoint {
  /** Name of its format. */
  readonly format: string
  /** The files that it was found among. */
  readonly tree: FileTree
  /** Opens the same once more, with its time limit but without its signal. */
  reopen(): Promise<Checkpoint>
}

/** Files that may hold a checkpoint, for a format to look at. */
export interface Candidate {
  readonly tree: FileTree
  /** A small JSON file, read once for all formats; undefined where it is missing. */
  json(file: string): Promise<Sourced | undefined>
  /** Most bytes of a file of weights that go with a config: for servers that give files as a whole. */
  weightsLimit(config: Sourced | undefined): number | undefined
}

export interface CheckpointFormat {
  readonly name: string
  /** Files of which a folder in this format has one, for messages. */
  readonly files: readonly string[]
  /** Opens a checkpoint of this format, which shows by what the files hold; undefined for others.
   *  Throws where it is of this format and damaged. */
  open(candidate: Candidate): Promise<OpenCheckpoint | undefined>
}

/** Throws RangeError for rows that are not there, or do not fill the target. */
export function checkRows(
  at: string,
  start: number,
  count: number,
  rows: number,
  bytes: number,
  rowBytes: number,
): void {
  const isInside = Number.isInteger(start) && start >= 0 && Number.isInteger(count) && count >= 0
  if (isInside && start + count <= rows && bytes === count * rowBytes) return
  throw new RangeError(
    `${at}: asked for ${show(count)} rows from ${show(start)} of ${rows} into ${bytes} bytes, each ` +
      `takes ${rowBytes}`,
  )
}
