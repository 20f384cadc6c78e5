// The throughput of models for people: the machine, and the paper's table.
import type { Ceilings } from "../../bench/measure/ceiling.ts"
import type { Machine } from "../../bench/measure/machine.ts"
import type { ThroughputRow } from "../../bench/measure/throughput.ts"
import { published, type Throughput } from "../../bench/tables/paper.ts"
import { bytesText, printable, threeDigits } from "../../model/index.ts"
import { percent, spreadText } from "./amounts.ts"
import { folded, screenWidth, type TableOf } from "./table.ts"

export type BenchMachine = Machine & Ceilings & { readonly build: string; readonly threads: number }

/** What the machine is, and its ceilings. */
export function headline(m: BenchMachine, width = screenWidth()): string {
  const ceilings =
    `memory read ${threeDigits(m.bytesPerSecond / 1e9)} GB/s, ` +
    `multiply-add ${threeDigits(m.flopsPerSecond / 1e9)} GFLOP/s`
  const system = `${m.cpu}, ${m.threads} of ${m.cores} cores, ${m.runtime}, ${m.build}`
  return folded(printable(`${system}\n${ceilings}`), width).join("\n")
}

/** A line of the table: what was measured here, or what the paper has. */
interface ThroughputLine {
  readonly model: string
  readonly rates: Readonly<Record<keyof Throughput, string>>
  readonly row?: ThroughputRow
}

const column = (
  name: string,
  rank: number,
  text: (row: ThroughputRow) => string | number,
): TableOf<ThroughputLine>["columns"][number] => ({
  name,
  rank,
  text: ({ row }) => row && text(row),
})

export const throughputTable: TableOf<ThroughputLine> = {
  columns: [
    { name: "model", rank: 0, left: true, least: 16, text: ({ model }) => model },
    { name: "prompt tok/s", rank: 0, text: ({ rates }) => rates.prompt },
    column("% mul-add", 3, (row) => percent(row.flopsFraction)),
    { name: "generation tok/s", rank: 0, text: ({ rates }) => rates.generation },
    column("% bandwidth", 2, (row) => percent(row.bandwidthFraction)),
    { name: "total tok/s", rank: 1, text: ({ rates }) => rates.total },
    column("steps/token", 7, (row) => row.stepsPerToken),
    column("weights", 4, (row) => bytesText(row.weightBytes)),
    column("peak", 5, (row) => bytesText(row.peakMemoryBytes)),
    column("load", 6, (row) => `${threeDigits(row.loadMs / 1000)} s`),
  ],
  isDim: ({ row }) => row === undefined,
}

/** Each row, and below it the paper's own numbers. */
export const throughputLines = (rows: readonly ThroughputRow[]): ThroughputLine[] =>
  rows.flatMap((row) => [measured(row), ...ofPaper(row.model)])

const measured = (row: ThroughputRow): ThroughputLine => ({
  model: `${row.model} ${row.dtype}${row.cache === "f32" ? "" : `, cache ${row.cache}`}`,
  rates: {
    prompt: spreadText(row.promptSpread),
    generation: spreadText(row.generationSpread),
    total: spreadText(row.totalSpread),
  },
  row,
})

const sources = { cuda: "  paper, RTX 4090 bf16", mlx: "  paper, M2 Max f16" } as const

const ofPaper = (model: string): ThroughputLine[] =>
  Object.entries(published(model) ?? {}).map(([source, { prompt, generation, total }]) => ({
    model: sources[source as keyof typeof sources],
    rates: {
      prompt: threeDigits(prompt),
      generation: threeDigits(generation),
      total: threeDigits(total),
    },
  }))
