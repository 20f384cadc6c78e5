// The throughput table for people, and the line of JSON for programs.
import { Table } from "console-table-printer"
import type { Ceilings } from "./ceiling.ts"
import { bold, dim, inColour } from "./colour.ts"
import type { Machine } from "./machine.ts"
import { paper } from "./paper.ts"
import type { Spread } from "./statistics.ts"
import type { Row } from "./throughput.ts"

export interface BenchResult {
  readonly schema: "elm-bench/1"
  readonly machine: Machine & Ceilings & { readonly build: string; readonly threads: number }
  readonly rows: readonly Row[]
}

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`
const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`
const rate = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toFixed(1))
const spread = ({ median, min, max }: Spread): string =>
  `${rate(median)} (${rate(min)}–${rate(max)})`

/** One line about the machine and its ceilings. */
export function headline({ machine: m }: BenchResult): string {
  const ceilings =
    `memory read ${(m.bytesPerSecond / 1e9).toFixed(1)} GB/s, ` +
    `multiply-add ${(m.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s`
  return `${m.cpu}, ${m.threads} of ${m.cores} cores, ${m.runtime}, ${m.build}\n${ceilings}`
}

/** The paper's table, each row beside its ceiling and beside the paper's own numbers. */
export function table({ rows }: BenchResult): string {
  const out = new Table({
    shouldDisableColors: !inColour,
    columns: [
      { name: "model", alignment: "left" },
      { name: "prompt tok/s" },
      { name: "% mul-add" },
      { name: "generation tok/s" },
      { name: "% bandwidth" },
      { name: "total tok/s" },
      { name: "steps/token" },
      { name: "weights" },
      { name: "peak" },
      { name: "load" },
    ],
  })
  for (const row of rows) {
    out.addRow({
      model: bold(`${row.model} ${row.dtype}${row.cache === "f32" ? "" : `, cache ${row.cache}`}`),
      "prompt tok/s": spread(row.promptSpread),
      "% mul-add": percent(row.flopsFraction),
      "generation tok/s": spread(row.generationSpread),
      "% bandwidth": percent(row.bandwidthFraction),
      "total tok/s": spread(row.totalSpread),
      "steps/token": row.stepsPerToken,
      weights: gib(row.weightBytes),
      peak: gib(row.peakMemoryBytes),
      load: `${(row.loadMs / 1000).toFixed(1)} s`,
    })
    for (const [label, numbers] of Object.entries(paper[row.model] ?? {})) {
      const names = { cuda: "  paper, RTX 4090 bf16", mlx: "  paper, M2 Max f16" } as const
      out.addRow({
        model: dim(names[label as keyof typeof names]),
        "prompt tok/s": dim(rate(numbers.prompt)),
        "generation tok/s": dim(rate(numbers.generation)),
        "total tok/s": dim(rate(numbers.total)),
      })
    }
  }
  return out.render()
}
