// Predictions for sizes of models, numbers of nodes, and what these keep apart.
import type { DecoderConfig } from "../../model/index.ts"
import type { Sharding } from "../../train/step/options.ts"
import type { Report } from "../measure/report.ts"
import { type Kernels, type Outlined, trainingOnPaper } from "./paper.ts"
import { type Network, type Node, shardings, type UpdateTime, updateTime } from "./predict.ts"

/** What nodes would do. */
export interface ScaleRow {
  readonly model: string
  readonly shard: Sharding
  readonly nodes: number
  readonly tokensPerSecond: number
  /** Of what as many nodes would do that exchange nothing. */
  readonly efficiency: number
  /** Of the first. */
  readonly stateBytes: number
  readonly activationBytes: number
  /** Seconds of an update. */
  readonly seconds: UpdateTime
}

interface ScaleOptions extends Omit<Outlined, "config"> {
  readonly configs: readonly DecoderConfig[]
  readonly nodes: readonly number[]
  /** Micro-batches of an update, of each node. */
  readonly rounds: number
  readonly node: Node
  readonly network: Network
}

/** One node keeps everything. Nothing is run. */
export async function scaleRows(
  { configs, nodes, rounds, node, network, ...task }: ScaleOptions,
  kernels: Kernels,
  report: Report,
): Promise<ScaleRow[]> {
  const rows: ScaleRow[] = []
  for (const config of configs) {
    const paper = await trainingOnPaper({ ...task, config }, kernels)
    const own = { ...paper, tokens: task.B * task.T, rounds }
    const tokens = own.tokens * rounds
    const alone = updateTime(own, node, network, { size: 1, shard: "none" }).total
    for (const [i, size] of nodes.entries()) {
      report(`${config.name}: plans of ${size} nodes`, i / nodes.length)
      for (const shard of size === 1 ? (["none"] as const) : shardings) {
        const seconds = updateTime(own, node, network, { size, shard })
        rows.push({
          ...{ model: config.name, shard, nodes: size, seconds },
          tokensPerSecond: (size * tokens) / seconds.total,
          efficiency: alone / seconds.total,
          ...(await paper.memoryOf({ size, shard })),
        })
      }
    }
    await paper.close()
  }
  return rows
}
