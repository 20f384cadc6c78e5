// What a training step is asked for, checked before anything is allocated.
import { checkWhole, kindOf } from "../../engine/index.ts"
import { type Adapter, adapterInternals, type LanguageModel } from "../../model/index.ts"
import { checkNumberOf as check, isNotNegative, isPositive } from "../checks.ts"
import { type Objective, objectives } from "../objectives/index.ts"
import {
  type Optimizer,
  type OptimizerName,
  optimizerNames,
  optimizers,
} from "../optimizers/index.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import type { GraphSettings } from "./graph.ts"
import type { UpdateSettings } from "./update.ts"

/** How a model is trained. */
export interface TrainOptions {
  /** What moves the weights: a name, or what `optimizers` makes; default "adamw", with `betas` and `eps`. */
  readonly optimizer?: OptimizerName | Optimizer
  /** AdamW's decay rates of the moments; default [0.9, 0.95]. */
  readonly betas?: readonly [number, number]
  /** AdamW's; default 1e-8. */
  readonly eps?: number
  /** On everything but vectors; default 0.1. */
  readonly weightDecay?: number
  /** What is trained in place of the model's weights, which stay as they are, in any dtype. */
  readonly adapter?: Adapter
  /** Which weights move, by their names in `model.tensors` or `adapter.tensors`; default all. The others have no gradient and
   *  no moments, and take no memory for them. */
  readonly trainable?: (name: string) => boolean
  /** Largest global norm of the gradients; default 1, infinity for none. */
  readonly clip?: number
  /** What is minimized: what `objectives` makes, or one of one's own; default cross-entropy with `zLoss`
   *  and `labelSmoothing`. */
  readonly objective?: Objective
  /** Weight of the z-loss; default 1e-4, 0 leaves it out. */
  readonly zLoss?: number
  /** Targets of this id carry no loss, and inputs of this id need not be in the vocabulary. Default:
   *  the model's `paddingIndex`, or the size of the vocabulary, so that every id counts. */
  readonly ignoreIndex?: number
  /** Default 0. */
  readonly labelSmoothing?: number
  /** Parts that a batch is cut into, one after another; default 1. */
  readonly accumulation?: number
  /** Whether the gradients of the parts are added, as the release did, or averaged (default). */
  readonly accumulate?: "sum" | "mean"
  /** Processes that share the parts of a batch, and sum their gradients: rank r is given those whose number
   *  leaves r. Default this process alone. */
  readonly ranks?: Communicator
  /** What each rank keeps of its part of the weights alone: the same numbers in less memory, as in ZeRO (arXiv
   *  1910.02054). "state": the optimizer's state, masters and sums of gradients (its stage 2, FSDP's
   *  SHARD_GRAD_OP); "full": the weights too (stage 3, FULL_SHARD), of a model that `train` or `tune` makes; beside
   *  an adapter those that stay. Default "none". */
  readonly shard?: Sharding
  /** Groups of the parts, of which every one counts the same with `meanOver` "shards": part i is in that whose
   *  number is i modulo `shards`. Default 1. */
  readonly shards?: number
  /** Whether every target of a batch counts the same (default), or, as in the release, every shard. */
  readonly meanOver?: "targets" | "shards"
  /** Runs each block a second time instead of keeping what is inside it: less memory, the same
   *  gradients. Default false. */
  readonly checkpointActivations?: boolean
}

/** What ranks do not all keep. */
export type Sharding = "none" | "state" | "full"

/** The same with defaults. */
export interface TrainSettings extends UpdateSettings, GraphSettings {
  readonly accumulation: number
  readonly accumulate: "sum" | "mean"
  readonly ranks: Communicator
  readonly shard: Sharding
  readonly shards: number
  readonly meanOver: "targets" | "shards"
  readonly adapter: Adapter | undefined
}

/** Options with defaults. Throws RangeError or TypeError naming the option. */
export function checkTrainOptions(
  { config, dtype, tensors }: LanguageModel,
  options: TrainOptions,
): TrainSettings {
  const { weightDecay = 0.1, clip = 1, trainable = () => true, zLoss, labelSmoothing } = options
  const { ignoreIndex = config.paddingIndex ?? config.vocabSize } = options
  const { checkpointActivations = false, adapter } = options
  if (adapter) adapterInternals(adapter, tensors)
  else if (dtype !== "f32" && dtype !== "bf16") {
    throw new RangeError(
      `training takes weights in f32 or bf16, this model has ${dtype}. Train an adapter beside them`,
    )
  }
  const optimizer = optimizerOf(options)
  if (typeof trainable !== "function") {
    throw new TypeError(`trainable must be a function of a name, got ${kindOf(trainable)}`)
  }
  check("weightDecay", weightDecay, isNotNegative, "0 or more")
  check("clip", clip, (x) => isPositive(x) || x === Number.POSITIVE_INFINITY, "above 0")
  const made = objectives.crossEntropy({
    ...(zLoss !== undefined && { zLoss }),
    ...(labelSmoothing !== undefined && { labelSmoothing }),
  })
  const { objective = made } = options
  if (typeof objective?.loss !== "function") {
    throw new TypeError(`objective must be what objectives makes, got ${kindOf(objective)}`)
  }
  // Targets are compared as f32, which holds these numbers.
  const exact = (x: number) => Number.isInteger(x) && Math.abs(x) <= 2 ** 24
  check("ignoreIndex", ignoreIndex, exact, "a whole number from -16777216 to 16777216")
  const update = { optimizer, weightDecay, clip, trainable }
  const loss = { ignoreIndex, objective }
  return { ...update, ...loss, ...checkParts(options), checkpointActivations, adapter }
}

/** How a batch is cut, and what its parts count. */
function checkParts(options: TrainOptions) {
  const { accumulation = 1, accumulate = "mean", ranks = alone } = options
  const { shards = 1, meanOver = "targets", shard: asked = "none" } = options
  checkWhole("accumulation", accumulation, 1)
  checkWhole("shards", shards, 1)
  oneOf("accumulate", accumulate, ["sum", "mean"])
  oneOf("meanOver", meanOver, ["targets", "shards"])
  oneOf("shard", asked, ["none", "state", "full"])
  const shard = ranks.size > 1 ? asked : "none"
  for (const [name, count] of [["ranks", ranks.size] as const, ["shards", shards] as const]) {
    if (accumulation % count === 0) continue
    throw new RangeError(`accumulation: ${accumulation} parts are no multiple of ${count} ${name}`)
  }
  return { accumulation, accumulate, ranks, shard, shards, meanOver }
}

function oneOf(name: string, value: unknown, known: readonly string[]): void {
  if (typeof value === "string" && known.includes(value)) return
  const list = known.map((each) => `"${each}"`).join(" or ")
  throw new RangeError(`${name} must be ${list}, got ${JSON.stringify(value)}`)
}

/** Parts of a batch that each rank has. */
export const roundsOf = ({ accumulation, ranks }: TrainSettings): number =>
  accumulation / ranks.size

/** The optimizer that the options mean. Throws RangeError for names that are none. */
function optimizerOf({ optimizer = "adamw", betas, eps }: TrainOptions): Optimizer {
  if (typeof optimizer === "object" && typeof optimizer?.update === "function") return optimizer
  if (optimizer === "adamw") {
    return optimizers.adamw({
      ...(betas !== undefined && { betas }),
      ...(eps !== undefined && { eps }),
    })
  }
  const make = optimizerNames.includes(optimizer as OptimizerName)
    ? optimizers[optimizer as OptimizerName]
    : undefined
  if (make) return make()
  const known = optimizerNames.join(", ")
  throw new RangeError(
    `optimizer must be one of ${known}, or made by one, got ${kindOf(optimizer)}`,
  )
}
