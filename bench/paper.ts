// The paper's own throughput (arXiv 2404.14619, table 7), to stand beside what is measured here.

export interface Throughput {
  readonly prompt: number
  readonly generation: number
  readonly total: number
}

interface PaperRow {
  /** bf16 on an RTX 4090, table 7a. */
  readonly cuda: Throughput
  /** f16 (3B: bf16) on an M2 Max with MLX, table 7b. */
  readonly mlx: Throughput
}

const row = (cuda: readonly number[], mlx: readonly number[]): PaperRow => {
  const [read, other] = [cuda, mlx].map(([prompt, generation, total]) => ({
    prompt,
    generation,
    total,
  }))
  return { cuda: read as Throughput, mlx: other as Throughput }
}

/** Tokens per second by model name, as the paper prints them. */
export const paper: Readonly<Record<string, PaperRow>> = {
  "OpenELM-270M": row([6427.27, 159.67, 165.85], [1151.41, 212.4, 218.45]),
  "OpenELM-450M": row([5211.35, 128.46, 133.42], [910.61, 147.26, 151.57]),
  "OpenELM-1_1B": row([3681.73, 92.15, 95.72], [508.56, 78.72, 81.04]),
  "OpenELM-3B": row([2712.56, 70.11, 72.82], [234.96, 33.96, 34.97]),
}

/** Tokens of the paper's prompt, and tokens that it generates after it. */
export const paperPromptTokens = 35
export const paperGeneratedTokens = 1024
