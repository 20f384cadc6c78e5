// `elm bench roofline`: what three GPUs could do at most, from the bytes, the multiply-adds and the
// dispatches of the recorded plans. A prediction, not a measurement: nothing runs.
import type { Plan } from "../../engine/index.ts"
import { type CacheDType, publishedConfig, type WeightDType } from "../../model/index.ts"
import { paperPromptTokens } from "../tables/paper.ts"
import type { Ceilings } from "./ceiling.ts"
import { roofline } from "./explain.ts"
import { outlineSession, PaperBackend } from "./outline.ts"

interface Gpu extends Ceilings {
  readonly name: string
  /** Where the paper measured the same GPU. */
  readonly paper?: "cuda" | "mlx"
}

/** Memory bandwidth and f32 rate as their makers state them. */
export const gpus: readonly Gpu[] = [
  { name: "NVIDIA RTX 4090", bytesPerSecond: 1008e9, flopsPerSecond: 82.6e12, paper: "cuda" },
  { name: "Apple M2 Max", bytesPerSecond: 400e9, flopsPerSecond: 13.6e12, paper: "mlx" },
  { name: "Intel Arc A770", bytesPerSecond: 560e9, flopsPerSecond: 19.7e12 },
]

/** From the end of one dispatch to the start of the next, which waits for it: an assumption. */
export const dispatchMicroseconds = 2

export interface Prediction {
  readonly kind: "prediction"
  readonly model: string
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly gpu: string
  readonly dispatchesPerToken: number
  readonly bytesPerToken: number
  readonly flopsPerToken: number
  /** Least time of one token at the end of the context, and of the prompt. */
  readonly tokenMicroseconds: number
  readonly promptMicroseconds: number
  readonly generationTokensPerSecond: number
  readonly promptTokensPerSecond: number
}

interface RooflineOptions {
  readonly model: readonly string[]
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly context: number
}

const costOf = ({ steps }: Plan, ceilings: Ceilings) => {
  const costs = steps.map(({ op, call }) => op.cost(call.params))
  const total = (of: (cost: (typeof costs)[number]) => number) =>
    costs.reduce((sum, cost) => sum + of(cost), 0)
  return {
    bytes: total(({ bytes }) => bytes),
    flops: total(({ flops }) => flops),
    microseconds:
      total(({ bytes, flops }) => roofline(bytes, flops, ceilings)) +
      steps.length * dispatchMicroseconds,
  }
}

export async function predict(options: RooflineOptions): Promise<Prediction[]> {
  const { webgpuKernels } = await import("../../backends/webgpu/index.ts")
  const rows: Prediction[] = []
  for (const name of options.model) {
    const backend = new PaperBackend("webgpu", webgpuKernels)
    const { dtype, cache, context: capacity } = options
    const config = publishedConfig(name)
    const { session, close } = outlineSession(config, backend, { dtype, cache, capacity })
    await session.prefill(Array<number>(paperPromptTokens).fill(1), 0, "next")
    const prompt = backend.plans.at(-1) as Plan
    for (const gpu of gpus) {
      const [token, read] = [costOf(session.decodePlan, gpu), costOf(prompt, gpu)]
      rows.push({
        kind: "prediction",
        model: config.name,
        dtype,
        cache,
        gpu: gpu.name,
        dispatchesPerToken: session.decodePlan.steps.length,
        bytesPerToken: token.bytes,
        flopsPerToken: token.flops,
        tokenMicroseconds: token.microseconds,
        promptMicroseconds: read.microseconds,
        generationTokensPerSecond: 1e6 / token.microseconds,
        promptTokensPerSecond: (1e6 * paperPromptTokens) / read.microseconds,
      })
    }
    close()
  }
  return rows
}
