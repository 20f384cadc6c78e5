// What a step keeps, by what it is for: where ranks have parts, a part of each, and memory that layers have in
// turns.
import { gatheredBytes } from "../parallel/gather.ts"
import { exchangedBytes } from "../parallel/sums.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import { layersOf } from "./graph.ts"
import type { TrainSettings } from "./options.ts"
import type { Trained } from "./trained.ts"
import { hasMaster, type Parameter } from "./update.ts"

/** In bytes. */
export interface StateBytes {
  readonly weights: number
  readonly masters: number
  readonly moments: number
  /** Of the whole gradients, or of the sums of a part of them. */
  readonly gradients: number
  /** Weights and gradients of one layer after another, and of what is outside of all. */
  readonly inTurns: number
  /** Most that is on its way to and from other ranks at a time. */
  readonly underWay: number
}

interface Kept {
  readonly parameters: readonly Parameter[]
  readonly settings: TrainSettings
  readonly trained: Trained
  readonly weights: ShardedWeights | undefined
  readonly weightBytes: number
  /** Of all that a step holds beside the weights. */
  readonly optimizerBytes: number
}

export function stateBytesOf(kept: Kept): StateBytes {
  const { parameters, settings, trained, weights, weightBytes, optimizerBytes } = kept
  const total = (of: (p: Parameter) => number) => parameters.reduce((sum, p) => sum + of(p), 0)
  const masters = total(({ weight, master }) => (hasMaster(weight) ? master.bytes : 0))
  const moments = total(({ state }) => state.reduce((sum, { bytes }) => sum + bytes, 0))
  const rest = optimizerBytes - masters - moments
  const isParted = parameters.some(({ owned }) => owned)
  const gradients = isParted ? total(({ owned }) => owned?.sum.bytes ?? 0) : rest
  const placed = weights?.bytes ?? 0
  const inTurns = placed + rest - gradients
  // Those beside the model's, too.
  const beside = settings.adapter
    ? [...trained.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    : 0
  return {
    ...{ weights: weightBytes - placed + beside, masters, moments, gradients, inTurns },
    underWay: underWayOf(kept),
  }
}

/** Gradients go and come, and a sum is read; weights go the way of the gradients when those do not, and MPI has
 *  a copy of what is given. */
function underWayOf({ parameters, settings, trained, weights }: Kept): number {
  const { shard, ranks } = settings
  if (ranks.size === 1) return 0
  const bytesOf = new Map(parameters.map(({ weight, gradient }) => [weight, gradient.bytes]))
  const inLayers = layersOf(trained.decoder)
  const among = new Set(inLayers.flat())
  const outside = [...trained.tensors.values()].filter((x) => !among.has(x))
  const bytesIn = (all: typeof outside): number =>
    all.reduce((sum, x) => sum + (bytesOf.get(x) ?? 0), 0)
  const most = Math.max(...[outside, ...inLayers].map(bytesIn))
  const gradients = Math.min(exchangedBytes(shard), most)
  const moved = parameters.reduce((sum, { weight }) => sum + weight.bytes, 0)
  const gathered = Math.min(gatheredBytes, weights?.largest ?? moved)
  const summed = shard === "none" ? 0 : gradients
  return Math.max(gradients, gathered) + gradients + (summed + gathered) / ranks.size
}
