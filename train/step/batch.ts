// Batches of token ids as they come from a caller, checked and laid out for the backend.
import { type DecoderConfig, isList } from "../../model/index.ts"
import type { TrainSettings } from "./options.ts"

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

type DivisorRules = Pick<TrainSettings, "ignoreIndex" | "accumulate" | "meanOver" | "shards">

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

/** What the loss of each micro-batch is divided by, from how many targets count in each: those of all with
 *  "mean", of its own with "sum"; times the number of shards, of whose targets alone it then is, where these
 *  count the same. Throws RangeError where that is 0: the mean of nothing is no loss. */
export function divisorsOf(
  counts: readonly number[],
  { ignoreIndex, accumulate, meanOver, shards }: DivisorRules,
): readonly number[] {
  const groups = meanOver === "shards" ? shards : 1
  const sums = counts.slice(0, groups).map(() => 0)
  for (const [i, count] of counts.entries()) sums[i % groups] = (sums[i % groups] ?? 0) + count
  const divisors = counts.map((count, i) => {
    return groups * (accumulate === "sum" ? count : (sums[i % groups] as number))
  })
  const empty = divisors.indexOf(0)
  if (empty < 0) return divisors
  const where = divisors.every((x) => x === 0) ? "" : ` of micro-batch ${empty}`
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
