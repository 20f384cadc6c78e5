// Random models and batches with odd sizes, each drawn from its number alone, and what of them is
// compared between backends: logits, greedy tokens, losses, gradients. The js backend, in float64,
// has the right values; the others get the weights that it has.
import { JsBackend } from "../backends/js/index.ts"
import { type NormKind, recorderWith } from "../bench/measure/norm_kinds.ts"
import { type Backend, bufferOf, uniformAt } from "../engine/index.ts"
import {
  internals,
  type ModelConfig,
  OpenELM,
  scaledConfig,
  type WeightDType,
} from "../model/index.ts"
import { createTrainStep, lossAndGradients, type TrainOptions } from "../train/index.ts"
import { collect } from "./small.ts"

export interface Trial {
  readonly config: ModelConfig
  readonly dtype: WeightDType
  readonly cache: "f32" | "f16"
  readonly norms: NormKind
  readonly inputs: readonly number[][] // (B, T)
  readonly targets: readonly number[][] // (B, T)
  readonly starts: readonly number[][] // (B, T)
  readonly training: TrainOptions & { readonly ignoreIndex: number; readonly accumulation: number }
}

const dtypes: readonly WeightDType[] = ["f32", "f16", "bf16", "q8", "q4"]
const norms: readonly NormKind[] = ["folded", "folded", "added", "fused", "naive"]

/** Trial number n; every dtype has its turn. */
export function trialOf(n: number): Trial {
  let drawn = 0
  const real = () => uniformAt(2024, n, 0, drawn++)
  const whole = (from: number, to: number) => from + Math.floor(real() * (to - from + 1))
  const one = <T>(list: readonly T[]): T => list[whole(0, list.length - 1)] as T
  const V = whole(2, 70)
  const T = one([1, 2, 3, 5, 8, 17, 21])
  const accumulation = whole(1, 3)
  const B = accumulation * whole(1, T > 8 ? 1 : 2)
  const D = whole(1, 40)
  const config = scaledConfig({
    layers: whole(1, 3),
    modelDim: D,
    headDim: 2 * whole(1, 12),
    vocabSize: V,
    queryHeadsPerKeyHead: whole(1, 3),
    qkvMultipliers: [0.5 + real(), 0.5 + real()],
    // Widths to two panels and beyond, of any remainder.
    ffnMultipliers: [whole(1, 45) / D, whole(1, 45) / D],
    ffnDivisor: whole(1, 3),
    maxContext: T + 8,
    bosId: 0,
    eosId: 1,
    ...(real() < 0.3 ? { paddingIndex: whole(0, V - 1) } : {}),
  })
  const rows = (of: (b: number, t: number) => number): number[][] =>
    Array.from({ length: B }, (_, b) => Array.from({ length: T }, (_, t) => of(b, t)))
  // Rows of several documents where they are packed.
  const packed = real() < 0.5
  const starts = rows(() => 0)
  for (const row of starts) {
    row.forEach((_, t) => {
      row[t] = packed && t > 0 && real() < 0.3 ? t : (row[t - 1] ?? 0)
    })
  }
  const ignoreIndex = config.paddingIndex ?? V
  const accumulate = one(["sum", "mean"] as const)
  const targets = rows((_, t) => (t > 0 && real() < 0.2 ? ignoreIndex : whole(0, V - 1)))
  // The first of each row counts, so that no part is empty.
  for (const row of targets) row[0] = ((ignoreIndex % V) + 1) % V
  const training = {
    ignoreIndex,
    accumulation,
    accumulate,
    zLoss: one([0, 1e-4, 1e-2]),
    labelSmoothing: one([0, 0, 0.1]),
    clip: one([0.5, 1, Number.POSITIVE_INFINITY]),
    checkpointActivations: real() < 0.5,
  }
  const inputs = rows(() => whole(0, V - 1))
  const rest = { cache: one(["f32", "f32", "f16"] as const), norms: one(norms) }
  return { config, dtype: dtypes[n % 5] as WeightDType, inputs, targets, starts, training, ...rest }
}

/** A trial's model on a backend, with the numbers of another one's weights. */
async function modelOn(backend: Backend, trial: Trial, from?: OpenELM): Promise<OpenELM> {
  const { config, dtype, cache } = trial
  const model = await OpenELM.random(config, { backend, dtype, cache, seed: 7 })
  if (!from) return model
  for (const [name, tensor] of model.tensors) {
    const source = bufferOf(from.tensors.get(name) ?? tensor)
    backend.write(bufferOf(tensor), new Uint8Array(await from.backend.read(source, tensor.bytes)))
  }
  return model
}

/** The model with its norms in the steps of the trial. */
function recorded(model: OpenELM, { norms }: Trial): OpenELM {
  return internals(model).variant(recorderWith(norms))
}

/** What is compared, by name. */
export type Values = Map<string, ArrayLike<number>>

const isTrained = ({ dtype }: Trial): boolean => dtype === "f32" || dtype === "bf16"

async function valuesOf(model: OpenELM, trial: Trial): Promise<Values> {
  const { inputs, targets, starts, training } = trial
  const values: Values = new Map([["logits", await recorded(model, trial).logits(inputs)]])
  if (!isTrained(trial)) return values
  const { accumulation, accumulate, clip, ...loss } = training
  const found = await lossAndGradients(model, inputs, targets, { ...loss, starts })
  values.set("losses", [found.loss, found.ce, found.z])
  for (const [name, gradient] of Object.entries(found.gradients)) values.set(name, gradient)
  const step = await createTrainStep(model, training)
  const result = await step(inputs, targets, { lr: 1e-3, starts })
  values.set("step", [result.loss, result.ce, result.z])
  values.set("norm", [result.gradNorm])
  await step.close()
  return values
}

/** Fractions of the largest value that are allowed: sums in f32 over a few layers; products with quantized
 *  weights round their rows to 8 bits, an f16 cache its numbers to 11. */
function limitOf({ config, dtype, cache }: Trial): number {
  if (dtype === "q8" || dtype === "q4") {
    // A norm of two or three numbers, most of them near 0, makes what was rounding as large as the rest.
    return config.modelDim < 4 ? 2 : 0.1
  }
  return cache === "f16" ? 1e-2 : 2e-4
}

/** Numbers are measured by the largest of their kind, and gradients that are nothing but rounding by
 *  those of the other weights. */
function differences(trial: Trial, got: Values, want: Values): string[] {
  const limit = limitOf(trial)
  const isGradient = (name: string) => name.endsWith(".weight")
  // RMSNorm of one number has almost nothing but rounding as its gradient, of two a part of it.
  const more = trial.config.modelDim < 4 ? 50 : 1
  const largest = (x: ArrayLike<number>) =>
    Array.from(x).reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  const gradients = [...want].filter(([name]) => isGradient(name)).map(([, x]) => largest(x))
  const floor = 1e-2 * Math.max(0, ...gradients)
  return [...want].flatMap(([name, values]) => {
    const found = got.get(name) ?? []
    const scale = Math.max(largest(values), isGradient(name) ? floor : 1e-6)
    const error = largest(Array.from(values, (x, i) => x - (found[i] as number))) / scale
    const allowed = isGradient(name) || name === "norm" ? limit * more : limit
    return error <= allowed ? [] : [`${name} is off by ${error.toExponential(1)}`]
  })
}

/** Whether each greedy token has, by js, a logit as large as any other, to the precision allowed. */
async function tokenError(model: OpenELM, right: OpenELM, trial: Trial): Promise<string[]> {
  const prompt = trial.inputs[0] as number[]
  const tokens = await collect(recorded(model, trial), prompt, { maxNewTokens: 5 })
  const { vocabSize: V } = trial.config
  const logits = await right.logits([[...prompt, ...tokens.slice(0, -1)]])
  const limit = trial.dtype.startsWith("q") ? 0.1 : limitOf(trial)
  return tokens.flatMap((token, i) => {
    const row = logits.subarray((prompt.length - 1 + i) * V, (prompt.length + i) * V)
    const scale = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
    const short = Math.max(...row) - (row[token] as number)
    return short <= 2 * limit * scale ? [] : [`token ${i}, ${token}, is ${short} below the largest`]
  })
}

/** What a backend has wrong in a trial; nothing where it agrees with js. */
export async function errorsIn(trial: Trial, backends: readonly Backend[]): Promise<string[][]> {
  const js = new JsBackend()
  const right = await modelOn(js, trial)
  const first = await modelOn(js, trial, right)
  const want = await valuesOf(first, trial)
  const errors: string[][] = []
  for (const backend of backends) {
    const model = await modelOn(backend, trial, right)
    const tokens = await tokenError(model, right, trial)
    const values = await valuesOf(model, trial)
    errors.push([...tokens, ...differences(trial, values, want)])
    await model.close()
  }
  js.close()
  return errors
}
