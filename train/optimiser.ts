// How gradients move parameters, as recorded ops: the global norm, its clip, AdamW. The moments lie
// beside the parameters; the rates of each step are a tensor.
import { bound, bufferOf, constant, type Tensor, type Update } from "../engine/index.ts"
import type { Holder } from "../model/index.ts"
import {
  adamW,
  add,
  affine,
  cast,
  div,
  less,
  mul,
  reshape,
  rsqrt,
  select,
  squareSums,
  squaresPerPart,
  sum,
} from "../ops/index.ts"

export interface OptimiserSettings {
  readonly betas: readonly [number, number]
  readonly eps: number
  /** Decoupled decay of everything that is not a vector, per unit of learning rate. */
  readonly weightDecay: number
  /** Largest global norm of the gradients; infinity leaves them as they are. */
  readonly clip: number
}

/** One trained tensor, what the optimiser keeps for it, and the gradient's place in the report. */
export interface Parameter {
  readonly name: string
  /** The weight as the model uses it. */
  readonly weight: Tensor
  /** The numbers that move: the weight itself, or its f32 master. */
  readonly master: Tensor
  readonly first: Tensor
  readonly second: Tensor
  /** Where the gradient is kept, summed over micro-batches. */
  readonly gradient: Tensor
  readonly decayed: boolean
}

/** Parameters with moments of zeros and gradients beside them, so that a model in several memories is
 *  moved where it lies; an f32 master where the weight is of fewer bits. */
export function parametersOf(tensors: ReadonlyMap<string, Tensor>, held: Holder): Parameter[] {
  return [...tensors].map(([name, weight]) => {
    const own = () => held.allocate(weight.shape, "f32", weight)
    const master = weight.dtype === "f32" ? weight : own()
    // Vectors, the norms' weights, are not decayed; panels are matrices.
    const decayed = weight.shape.length > 1
    return { name, weight, master, first: own(), second: own(), gradient: own(), decayed }
  })
}

/** Numbers of the report before the squared norms of the parameters' gradients. */
export const reportHead = { loss: 0, ce: 1, z: 2, norm: 3 } as const
const headNumbers = 4

/** A place for the report of a step: losses, norm, then one number for each parameter. */
export const allocateReport = (held: Holder, parameters: readonly Parameter[]): Tensor =>
  held.allocate([headNumbers + parameters.length])

/** Number i of a report as a tensor to be written. */
export const reportNumber = (report: Tensor, i: number): Tensor =>
  bound(bufferOf(report), [1], "f32", 4 * i)

/**
 * Updates of one step: moments and parameters move by the gradients times `share`; the report gets
 * the norm and the squares it is the root of. A norm that is not finite leaves everything as it is.
 * rates (3) as adamW takes them.
 */
export function optimiserUpdates(
  parameters: readonly Parameter[],
  gradients: ReadonlyMap<Tensor, Tensor>,
  { report, rates, share }: { report: Tensor; rates: Tensor; share: number },
  settings: OptimiserSettings,
): Update[] {
  const flat = parameters.map(({ weight }) => flatten(gradients.get(weight) as Tensor))
  const squares = flat.map((g) => affine(squaredNorm(g), share * share, 0)) // (1) each
  const total = squares.reduce((a, b) => add(a, b)) // (1)
  const norm = mul(total, rsqrt(affine(total, 1, 1e-30))) // (1)
  const scale = affine(clipScale(norm, settings.clip), share, 0) // (1)
  const { betas, eps, weightDecay } = settings
  const moves = parameters.flatMap(({ weight, master, first, second, decayed }, i): Update[] => {
    const g = flat[i] as Tensor
    const attrs = { beta1: betas[0], beta2: betas[1], eps, decay: decayed ? weightDecay : 0 }
    const parts = [master, first, second].map(flatten) as [Tensor, Tensor, Tensor]
    const { newP, newM, newV } = adamW(...parts, g, rates, scale, attrs)
    const shaped = (x: Tensor): Tensor => reshape(x, master.shape)
    const moved: Update[] = [
      [master, shaped(newP)],
      [first, shaped(newM)],
      [second, shaped(newV)],
    ]
    return master === weight ? moved : [...moved, [weight, cast(shaped(newP), weight.dtype)]]
  })
  const numbers = [norm, ...squares].map(
    (x, i): Update => [reportNumber(report, reportHead.norm + i), x],
  )
  return [...moves, ...numbers]
}

const flatten = (x: Tensor): Tensor => reshape(x, [x.size])

/** Σ g².  g (N) → (1) */
const squaredNorm = (g: Tensor): Tensor =>
  sum(squareSums(g, { R: Math.ceil(g.size / squaresPerPart) }))

/** min(1, clip / (norm + 1e-6)), and −1 for a norm that is not finite, which stands for no step. */
function clipScale(norm: Tensor, clip: number): Tensor {
  const one = constant([1], [1])
  const ratio = Number.isFinite(clip) ? div(constant([clip], [1]), affine(norm, 1, 1e-6)) : one
  const scale = select(less(ratio, one), ratio, one)
  return select(less(norm, constant([3e38], [1])), scale, -1)
}

/** What adamW needs of step number t, counted from 1. */
export function ratesOf(lr: number, t: number, [beta1, beta2]: readonly [number, number]) {
  return Float32Array.of(lr, lr / (1 - beta1 ** t), 1 / Math.sqrt(1 - beta2 ** t))
}

/** The error of an update whose gradient is not finite, by the report of the step. */
export function notFinite(
  update: number,
  { loss, gradNorm }: { readonly loss: number; readonly gradNorm: number },
  parameters: readonly Parameter[],
  report: ArrayLike<number>,
): Error {
  const square = (i: number): number => report[reportHead.norm + 1 + i] as number
  const bad = parameters.filter((_, i) => !(square(i) < Number.POSITIVE_INFINITY))
  const where = bad.length === 0 ? "all of them together" : bad.map(({ name }) => name).join(", ")
  return new Error(
    `update ${update}: the gradient is not finite (norm ${gradNorm}, loss ${loss}) in ` +
      `${where}. Nothing was changed; lower the learning rate, or look at this batch`,
  )
}
