// What a training step is asked for, checked before anything is allocated.
import { isSingle } from "../../engine/index.ts"
import type { LanguageModel } from "../../model/index.ts"
import type { GraphSettings } from "./graph.ts"
import type { OptimiserSettings } from "./optimiser.ts"

export interface TrainOptions {
  /** AdamW's decay rates of the moments; default [0.9, 0.95]. */
  readonly betas?: readonly [number, number]
  /** Default 1e-8. */
  readonly eps?: number
  /** Decoupled, on everything but vectors; default 0.1. */
  readonly weightDecay?: number
  /** Largest global norm of the gradients; default 1, infinity for none. */
  readonly clip?: number
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
  /** Runs each block a second time instead of keeping what is inside it: less memory, the same
   *  gradients. Default false. */
  readonly checkpointActivations?: boolean
}

export interface TrainSettings extends OptimiserSettings, GraphSettings {
  readonly accumulation: number
  readonly accumulate: "sum" | "mean"
}

// Of the numbers as kernels get them, in f32.
export const isPositive = (x: number): boolean => x > 0 && isSingle(x)
export const isNotNegative = (x: number): boolean => x >= 0 && isSingle(x)
export const isBelow1 = (x: number): boolean => isNotNegative(x) && Math.fround(x) < 1

/** Options with defaults. Throws RangeError or TypeError naming the option. */
export function checkTrainOptions(
  { config, dtype }: LanguageModel,
  options: TrainOptions,
): TrainSettings {
  const { betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, clip = 1, zLoss = 1e-4 } = options
  const { ignoreIndex = config.paddingIndex ?? config.vocabSize, labelSmoothing = 0 } = options
  const { accumulation = 1, accumulate = "mean", checkpointActivations = false } = options
  if (dtype !== "f32" && dtype !== "bf16") {
    throw new RangeError(`training takes weights in f32 or bf16, this model has ${dtype}`)
  }
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new TypeError(`betas must be two numbers, got ${betas}`)
  }
  betas.forEach((beta, i) => {
    check(`betas[${i}]`, beta, isBelow1(beta), "from 0 and below 1")
  })
  check("eps", eps, isPositive(eps), "above 0")
  check("weightDecay", weightDecay, isNotNegative(weightDecay), "0 or more")
  check("clip", clip, isPositive(clip) || clip === Number.POSITIVE_INFINITY, "above 0")
  check("zLoss", zLoss, isNotNegative(zLoss), "0 or more")
  check("labelSmoothing", labelSmoothing, isBelow1(labelSmoothing), "from 0 and below 1")
  // Targets are compared as f32, which holds these numbers.
  const exact = Number.isInteger(ignoreIndex) && Math.abs(ignoreIndex) <= 2 ** 24
  check("ignoreIndex", ignoreIndex, exact, "a whole number from -16777216 to 16777216")
  const whole = Number.isInteger(accumulation) && accumulation > 0
  check("accumulation", accumulation, whole, "a whole number from 1")
  if (accumulate !== "sum" && accumulate !== "mean") {
    throw new RangeError(`accumulate must be "sum" or "mean", got ${JSON.stringify(accumulate)}`)
  }
  const optimiser = { betas, eps, weightDecay, clip }
  const loss = { ignoreIndex, zLoss, labelSmoothing }
  return { ...optimiser, ...loss, accumulation, accumulate, checkpointActivations }
}

function check(name: string, value: number, holds: boolean, wanted: string): void {
  if (typeof value === "number" && holds) return
  const inRange = typeof value === "number" && !isSingle(value) && Number.isFinite(value)
  const single = inRange ? " and in f32 within 1.2e-38 and 3.4e38" : ""
  throw new RangeError(`${name} must be ${wanted}${single}, got ${value}`)
}
