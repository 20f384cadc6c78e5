// Batches of token ids as they come from a caller, checked and laid out for the backend.
import { type DecoderConfig, isList } from "../../model/index.ts"

/** (B, T): rows of one length, or typed arrays of them. */
export type Batch = readonly ArrayLike<number>[]

/** One micro-batch, row by row. */
export interface MicroBatch {
  readonly inputs: Int32Array
  readonly targets: Int32Array
  readonly starts: Int32Array
  /** Targets that are not ignored. */
  readonly counted: number
}

interface BatchRules {
  readonly ignoreIndex: number
  readonly accumulation: number
}

/**
 * Sizes of a batch, and its micro-batches. Inputs of an ignored id outside the
 * vocabulary become id 0: they carry no loss. Throws TypeError for what is no batch, RangeError for shapes and ids out of range.
 */
export function checkBatch(
  config: DecoderConfig,
  { ignoreIndex, accumulation }: BatchRules,
  inputs: Batch,
  targets: Batch,
  starts?: Batch,
): { B: number; T: number; parts: MicroBatch[] } {
  const [B, T] = sizesOf("inputs", inputs)
  checkShape("targets", targets, B, T)
  if (starts) checkShape("starts", starts, B, T)
  if (T > config.maxContext) {
    throw new RangeError(`inputs: ${T} positions exceed the context of ${config.maxContext}`)
  }
  if (B % accumulation !== 0) {
    throw new RangeError(`inputs: ${B} rows do not make ${accumulation} equal micro-batches`)
  }
  checkIds("inputs", inputs, config.vocabSize, ignoreIndex)
  checkIds("targets", targets, config.vocabSize, ignoreIndex)
  starts?.forEach((row, b) => {
    for (let t = 0; t < T; t++) {
      const start = row[t] as number
      if (Number.isInteger(start) && start >= 0 && start <= t) continue
      throw new RangeError(`starts[${b}][${t}] must be from 0 to ${t}, got ${start}`)
    }
  })
  const rows = B / accumulation
  const parts = Array.from({ length: accumulation }, (_, i): MicroBatch => {
    const cut = (batch: Batch | undefined) => flat(batch?.slice(i * rows, (i + 1) * rows), rows, T)
    const tokens = cut(inputs)
    // A padding id that has no row in the embedding.
    if (ignoreIndex < 0 || ignoreIndex >= config.vocabSize) {
      tokens.forEach((id, n) => {
        if (id === ignoreIndex) tokens[n] = 0
      })
    }
    const wanted = cut(targets)
    const counted = wanted.reduce((sum, id) => sum + Number(id !== ignoreIndex), 0)
    return { inputs: tokens, targets: wanted, starts: cut(starts), counted }
  })
  return { B, T, parts }
}

/** How many targets count in all. Throws RangeError where none does, and for a part without any
 *  where each has a mean of its own: the mean of nothing is no loss. */
export function checkCounted(
  parts: readonly MicroBatch[],
  { ignoreIndex, accumulate }: { ignoreIndex: number; accumulate: "sum" | "mean" },
): number {
  const all = parts.reduce((sum, { counted }) => sum + counted, 0)
  const empty = accumulate === "sum" && all > 0 ? parts.findIndex((p) => p.counted === 0) : -1
  if (all > 0 && empty < 0) return all
  const where = empty < 0 ? "" : ` of micro-batch ${empty}`
  throw new RangeError(
    `targets: every id${where} is the ignored ${ignoreIndex}, so nothing is learnt`,
  )
}

function sizesOf(name: string, batch: Batch): [B: number, T: number] {
  const T = batch?.[0]?.length ?? 0
  checkShape(name, batch, batch?.length ?? 0, T)
  if (T > 0) return [batch.length, T]
  throw new RangeError(`${name}: expected one or more rows of token ids, got none`)
}

function checkShape(name: string, batch: Batch, B: number, T: number): void {
  if (!Array.isArray(batch) || !batch.every((row) => isList(row))) {
    throw new TypeError(`${name}: expected an array of rows of token ids, such as [[1, 2, 3]]`)
  }
  if (batch.length === B && batch.every((row) => row.length === T)) return
  const lengths = batch.map((row) => row.length).join(", ")
  throw new RangeError(`${name}: expected ${B} rows of ${T}, got rows of ${lengths || "nothing"}`)
}

function checkIds(name: string, batch: Batch, V: number, ignoreIndex: number): void {
  batch.forEach((row, b) => {
    for (let t = 0; t < row.length; t++) {
      const id = row[t] as number
      if ((Number.isInteger(id) && id >= 0 && id < V) || id === ignoreIndex) continue
      throw new RangeError(
        `${name}[${b}][${t}] must be a token id from 0 to ${V - 1} or the ignored ${ignoreIndex}, ` +
          `got ${id}`,
      )
    }
  })
}

function flat(rows: Batch | undefined, B: number, T: number): Int32Array {
  const all = new Int32Array(B * T)
  rows?.forEach((row, b) => {
    all.set(row, b * T)
  })
  return all
}
