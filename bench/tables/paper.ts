// The throughput tables of the paper (arXiv 2404.14619): their rows, and the paper's own numbers to stand
// beside what is measured here. One more model in a table is a line of it.

import { publishedConfig } from "../../model/index.ts"

export interface Throughput {
  readonly prompt: number
  readonly generation: number
  readonly total: number
}

/** Ways to run the norms, by the names of norm_kinds.ts. */
type Norm = "layerNorm" | "naive" | "fused" | "added" | "folded" | "none"

export interface PaperRow {
  /** As publishedConfig has it. */
  readonly model: string
  /** Which weights: those of the table's own dtype, or of four bits. */
  readonly bits?: 4
  readonly norm?: Norm
  /** Tokens per second; what the paper has no row of is measured all the same. */
  readonly paper?: Throughput
}

export interface PaperTable {
  readonly name: string
  readonly title: string
  /** What the paper's numbers were measured on. */
  readonly on: string
  readonly rows: readonly PaperRow[]
}

/** What stands over a table: one of the paper's by its name, others have none. */
export type TableHead = Pick<PaperTable, "name" | "title" | "on">

export const headingOf = ({ name, title }: TableHead): string =>
  name === "" ? title : `Table ${name}: ${title}`

const rates = (prompt: number, generation: number, total: number): Throughput => ({
  prompt,
  generation,
  total,
})

const cuda: PaperTable = {
  name: "7a",
  title: "OpenELM and the compared models",
  on: "RTX 4090, bf16",
  rows: [
    { model: "OPT-350M", paper: rates(6524.17, 214.11, 220.21) },
    { model: "270M", paper: rates(6427.27, 159.67, 165.85) },
    { model: "MobiLlama-0.5B", paper: rates(3423.25, 136.35, 146.86) },
    { model: "450M", paper: rates(5211.35, 128.46, 133.42) },
    { model: "MobiLlama-0.8B", paper: rates(4151.75, 126.01, 130.08) },
    { model: "Pythia-1.4B", paper: rates(4501.85, 139.65, 143.83) },
    { model: "MobiLlama-1.26B", paper: rates(4938.29, 142.96, 147.67) },
    { model: "OLMo-1.18B", paper: rates(7151.65, 203.4, 209.26) },
    { model: "1.1B", paper: rates(3681.73, 92.15, 95.72) },
    { model: "3B", paper: rates(2712.56, 70.11, 72.82) },
  ],
}

const mlx: PaperTable = {
  name: "7b",
  title: "OpenELM in 16 and in 4 bits",
  on: "M2 Max with MLX, f16 (3B: bf16)",
  rows: [
    { model: "270M", paper: rates(1151.41, 212.4, 218.45) },
    { model: "270M", bits: 4, paper: rates(803.99, 256.35, 262.7) },
    { model: "450M", paper: rates(910.61, 147.26, 151.57) },
    { model: "450M", bits: 4, paper: rates(883.19, 197.81, 203.16) },
    { model: "1.1B", paper: rates(508.56, 78.72, 81.04) },
    { model: "1.1B", bits: 4, paper: rates(554.17, 117.9, 121.14) },
    { model: "3B", paper: rates(234.96, 33.96, 34.97) },
    { model: "3B", bits: 4, paper: rates(211.32, 60.33, 61.83) },
  ],
}

const norms: PaperTable = {
  name: "8",
  title: "normalization layers",
  on: "RTX 4090, bf16; fused: Apex",
  rows: [
    { model: "OLMo-1.18B", norm: "layerNorm", paper: rates(7151.65, 203.4, 209.26) },
    { model: "OLMo-1.18B", norm: "naive", paper: rates(5360.56, 171.41, 176.92) },
    { model: "OLMo-1.18B", norm: "none" },
    { model: "1.1B", norm: "layerNorm", paper: rates(4697.5, 130.34, 135.38) },
    { model: "1.1B", norm: "naive", paper: rates(3681.73, 92.15, 95.72) },
    { model: "1.1B", norm: "fused", paper: rates(4280.66, 113.42, 117.81) },
    { model: "1.1B", norm: "added" },
    { model: "1.1B", norm: "folded" },
    { model: "1.1B", norm: "none" },
  ],
}

/** In the paper's order. */
export const paperTables: readonly PaperTable[] = [cuda, mlx, norms]

const ratesIn = ({ rows }: PaperTable, model: string): Throughput | undefined =>
  rows.find(({ model: name, bits }) => !bits && publishedConfig(name).name === model)?.paper

/** What the paper has of a released size of OpenELM: on CUDA, table 7a, and with MLX, table 7b. */
export function published(model: string): Readonly<Record<"cuda" | "mlx", Throughput>> | undefined {
  const [onCuda, onMlx] = [ratesIn(cuda, model), ratesIn(mlx, model)]
  return onCuda && onMlx ? { cuda: onCuda, mlx: onMlx } : undefined
}

/** Tokens of the paper's prompt, and tokens that it generates after it. */
export const paperPromptTokens = 35
export const paperGeneratedTokens = 1024
