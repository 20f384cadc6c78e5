// The throughput table for people, and the line of JSON for programs.
import { bytesText, threeDigits } from "../model/index.ts"
import type { Ceilings } from "./ceiling.ts"
import type { Machine } from "./machine.ts"
import { paper } from "./paper.ts"
import { printable } from "./printable.ts"
import { rateSpread } from "./statistics.ts"
import { folded, screenWidth, tableText } from "./table.ts"
import type { Row } from "./throughput.ts"

export interface BenchResult {
  readonly schema: "elm-bench/1"
  readonly machine: Machine & Ceilings & { readonly build: string; readonly threads: number }
  readonly rows: readonly Row[]
}

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`

/** What the machine is, and its ceilings. */
export function headline({ machine: m }: BenchResult, width = screenWidth()): string {
  const ceilings =
    `memory read ${threeDigits(m.bytesPerSecond / 1e9)} GB/s, ` +
    `multiply-add ${threeDigits(m.flopsPerSecond / 1e9)} GFLOP/s`
  const system = `${m.cpu}, ${m.threads} of ${m.cores} cores, ${m.runtime}, ${m.build}`
  return folded(printable(`${system}\n${ceilings}`), width).join("\n")
}

/** The paper's table, each row beside its ceiling and beside the paper's own numbers. */
export function table({ rows }: Pick<BenchResult, "rows">, width?: number): string {
  const columns = [
    { name: "model", rank: 0, left: true, least: 16 },
    { name: "prompt tok/s", rank: 0 },
    { name: "% mul-add", rank: 3 },
    { name: "generation tok/s", rank: 0 },
    { name: "% bandwidth", rank: 2 },
    { name: "total tok/s", rank: 1 },
    { name: "steps/token", rank: 7 },
    { name: "weights", rank: 4 },
    { name: "peak", rank: 5 },
    { name: "load", rank: 6 },
  ]
  const own = rows.map((row) => ({ row, texts: [measured(row), ...published(row)] }))
  const dimRows = new Set(own.flatMap(({ texts }) => texts.slice(1)))
  return tableText({ columns, rows: own.flatMap(({ texts }) => texts), dimRows }, width)
}

const measured = (row: Row) => ({
  model: `${row.model} ${row.dtype}${row.cache === "f32" ? "" : `, cache ${row.cache}`}`,
  "prompt tok/s": rateSpread(row.promptSpread),
  "% mul-add": percent(row.flopsFraction),
  "generation tok/s": rateSpread(row.generationSpread),
  "% bandwidth": percent(row.bandwidthFraction),
  "total tok/s": rateSpread(row.totalSpread),
  "steps/token": row.stepsPerToken,
  weights: bytesText(row.weightBytes),
  peak: bytesText(row.peakMemoryBytes),
  load: `${threeDigits(row.loadMs / 1000)} s`,
})

const sources = { cuda: "  paper, RTX 4090 bf16", mlx: "  paper, M2 Max f16" } as const

const published = ({ model }: Row) =>
  Object.entries(paper[model] ?? {}).map(([label, numbers]) => ({
    model: sources[label as keyof typeof sources],
    "prompt tok/s": threeDigits(numbers.prompt),
    "generation tok/s": threeDigits(numbers.generation),
    "total tok/s": threeDigits(numbers.total),
  }))
