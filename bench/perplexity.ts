// `elm bench perplexity`: what a text costs a model in each dtype, side by side: cross-entropy in
// nats per token, from the logits, summed in float64. Windows follow each other without overlap.
import { Table } from "console-table-printer"
import { OpenELM, openModelFolder, type WeightDType, weightDTypes } from "../model/index.ts"
import { readText } from "../train/data/blocks.ts"
import { inColour } from "./colour.ts"
import { type BackendFlags, openFor } from "./open.ts"
import type { Report } from "./progress.ts"

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

export async function benchPerplexity(
  flags: PerplexityFlags,
  report: Report,
): Promise<PerplexityRow[]> {
  const text = await readText(flags.text)
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

async function measurePerplexity(
  model: OpenELM,
  text: string,
  most: number,
  report: Report,
): Promise<PerplexityRow> {
  const { config, tokenizer, dtype, weightBytes } = model
  if (!tokenizer) throw new Error("perplexity takes a model folder with a tokenizer")
  const ids = tokenizer.encode(text).slice(0, most)
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

export function perplexityTable(rows: readonly PerplexityRow[]): string {
  const names = ["dtype", "weights", "nats per token", "perplexity", "over f32"]
  const columns = names.map((name, i) => ({
    name,
    alignment: i === 0 ? ("left" as const) : ("right" as const),
  }))
  const out = new Table({ columns, shouldDisableColors: !inColour })
  const exact = rows.find(({ dtype }) => dtype === "f32")
  for (const { dtype, weightBytes, crossEntropy, perplexity } of rows) {
    const over = exact && perplexity / exact.perplexity - 1
    out.addRow({
      dtype,
      weights: `${(weightBytes / 2 ** 20).toFixed(1)} MiB`,
      "nats per token": crossEntropy.toFixed(4),
      perplexity: perplexity.toFixed(3),
      "over f32": over === undefined ? "" : `${(100 * over).toFixed(2)} %`,
    })
  }
  return out.render()
}
