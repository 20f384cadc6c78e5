// `elm bench perplexity`: what a text costs a model in each dtype, side by side: cross-entropy in
// nats per token, from the logits, summed in float64. Windows follow each other without overlap.
import { statSync } from "node:fs"
import type { Backend } from "../../engine/index.ts"
import { OpenELM, openModel, type WeightDType, weightDTypes } from "../../model/index.ts"
import { readText } from "../../train/data/blocks.ts"
import { downloading, type Report } from "./report.ts"

interface PerplexityOptions {
  /** A model folder with a tokenizer. */
  readonly weights: string
  readonly text: string
  /** Most tokens of the text that are read. */
  readonly tokens: number
  /** Default: all of them, or what a quantized folder holds. */
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

/** So much of a text file as holds that many tokens. Throws RangeError where it is empty. */
export async function textFor(path: string, tokens: number): Promise<string> {
  checkText(path)
  const text = await readText(path, charactersPerToken * tokens)
  if (text === "") throw new RangeError(`${path} is empty. Give a text of a token or more`)
  return text
}

export async function benchPerplexity(
  backend: Backend,
  { weights, text, tokens, dtypes }: PerplexityOptions,
  report: Report,
): Promise<PerplexityRow[]> {
  const folder = await openModel(weights, downloading(report))
  const own = folder.format
  await folder.close()
  const rows: PerplexityRow[] = []
  for (const dtype of own ? [own] : (dtypes ?? weightDTypes)) {
    await using model = await OpenELM.load(weights, { backend, dtype, ...downloading(report) })
    rows.push(await measurePerplexity(model, text, tokens, report))
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
