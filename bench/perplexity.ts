// `elm bench perplexity`: what a text costs a model in each dtype, side by side: cross-entropy in
// nats per token, from the logits, summed in float64. Windows follow each other without overlap.
import { statSync } from "node:fs"
import {
  bytesText,
  OpenELM,
  openModelFolder,
  type WeightDType,
  weightDTypes,
} from "../model/index.ts"
import { readText } from "../train/data/blocks.ts"
import { type BackendFlags, openFor } from "./open.ts"
import type { Report } from "./progress.ts"
import { tableText } from "./table.ts"

export interface PerplexityFlags extends BackendFlags {
  readonly weights: string
  readonly text: string
  readonly tokens: number
  readonly dtypes?: readonly WeightDType[]
}

export interface PerplexityRow {
  readonly dtype: WeightDType
  readonly crossEntropy: number
  readonly perplexity: number
  readonly tokens: number
  readonly weightBytes: number
}

/** More than any tokenizer's on average over a text: what comes after is not read. */
const charactersPerToken = 128

export async function benchPerplexity(
  flags: PerplexityFlags,
  report: Report,
): Promise<PerplexityRow[]> {
  checkText(flags.text)
  const text = await readText(flags.text, charactersPerToken * flags.tokens)
  if (text === "") throw new RangeError(`${flags.text} is empty. Give a text of a token or more`)
  const folder = await openModelFolder(flags.weights)
  const own = folder.format
  folder.close()
  const dtypes = own ? [own] : (flags.dtypes ?? weightDTypes)
  await using backend = await openFor(flags)
  const rows: PerplexityRow[] = []
  for (const dtype of dtypes) {
    await using model = await OpenELM.load(flags.weights, { backend, dtype })
    rows.push(await measurePerplexity(model, text, flags.tokens, report))
  }
  return rows
}

/** Throws Error for what is no file, and what has no end. */
function checkText(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there && !there.isFile() && !there.isFIFO()) {
    throw new Error(`Cannot read ${path}: it is ${there.isDirectory() ? "a folder" : "a device"}`)
  }
}

async function measurePerplexity(
  model: OpenELM,
  text: string,
  most: number,
  report: Report,
): Promise<PerplexityRow> {
  const { config, tokenizer, dtype, weightBytes } = model
  if (!tokenizer) {
    throw new Error(`${config.name} has no tokenizer. perplexity takes a model folder with one`)
  }
  const ids = tokenizer.encode(text).slice(0, most)
  if (ids.length === 0) throw new RangeError("the text is empty. Give a longer one")
  // BOS takes the place of the token before each window, as the samples of training have it.
  const T = Math.min(config.maxContext, 512) - 1
  let [sum, count] = [0, 0]
  for (let at = 0; at < ids.length; at += T) {
    report(`${dtype}`, at / ids.length)
    const window = [tokenizer.bosId, ...ids.slice(at, at + T)]
    const logits = await model.logits([window.slice(0, -1)])
    sum += crossEntropyOf(logits, window.slice(1), config.vocabSize)
    count += window.length - 1
  }
  const crossEntropy = sum / count
  const perplexity = Math.exp(crossEntropy)
  return { dtype, crossEntropy, perplexity, tokens: count, weightBytes }
}

/** Σ of −log p over the targets.  logits (T, V) */
function crossEntropyOf(logits: Float32Array, targets: readonly number[], V: number): number {
  let sum = 0
  targets.forEach((target, t) => {
    const row = logits.subarray(t * V, (t + 1) * V)
    const top = row.reduce((a, b) => Math.max(a, b))
    let all = 0
    for (let v = 0; v < V; v++) all += Math.exp((row[v] as number) - top)
    sum += Math.log(all) + top - (row[target] as number)
  })
  return sum
}

export function perplexityTable(rows: readonly PerplexityRow[], width?: number): string {
  const columns = [
    { name: "dtype", rank: 0, left: true },
    { name: "weights", rank: 3 },
    { name: "nats per token", rank: 2 },
    { name: "perplexity", rank: 0 },
    { name: "over f32", rank: 1 },
  ]
  const exact = rows.find(({ dtype }) => dtype === "f32")
  const texts = rows.map(({ dtype, weightBytes, crossEntropy, perplexity }) => {
    const over = exact && perplexity / exact.perplexity - 1
    return {
      dtype,
      weights: bytesText(weightBytes),
      "nats per token": crossEntropy.toFixed(4),
      perplexity: perplexity.toFixed(3),
      "over f32": over === undefined ? "" : `${(100 * over).toFixed(2)} %`,
    }
  })
  return tableText({ columns, rows: texts }, width)
}
