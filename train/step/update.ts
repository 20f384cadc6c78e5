// How gradients move parameters, as recorded ops: the global norm, its clip, and an optimizer
// (optimizers/) for each parameter. Its state lies beside the parameters; the rates of each step are a
// tensor.
import {
  bound,
  bufferOf,
  constant,
  itemBytes,
  offsetOf,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import type { Holder } from "../../model/index.ts"
import {
  add,
  affine,
  cast,
  div,
  equal,
  less,
  mul,
  reshape,
  rsqrt,
  select,
  squareSums,
  squaresPerPart,
  sum,
} from "../../ops/index.ts"
import type { Optimizer } from "../optimizers/index.ts"
import type { Trained } from "./trained.ts"

/** What moves which weights, and how far. */
export interface UpdateSettings {
  readonly optimizer: Optimizer
  /** Decay of everything that is not a vector, per unit of learning rate. */
  readonly weightDecay: number
  /** Which weights move, by name. */
  readonly trainable: (name: string) => boolean
  /** Largest global norm of the gradients; infinity leaves them as they are. */
  readonly clip: number
}

/** One trained tensor, what the optimizer keeps for it, and the gradient's place in the report. */
export interface Parameter {
  readonly name: string
  /** The weight as the model uses it. */
  readonly weight: Tensor
  /** The numbers that move: the weight itself, or its f32 master. */
  readonly master: Tensor
  /** What the optimizer keeps, in the order of its `state`. */
  readonly state: readonly Tensor[]
  /** Where the gradient is kept, summed over micro-batches. */
  readonly gradient: Tensor
  readonly decayed: boolean
  /** Its place among all weights, whether they move or not. */
  readonly index: number
  /** Where ranks keep their state apart: what this one has of it, and then state and master are of that alone. */
  readonly owned?: OwnedPart
}

/** The numbers of a parameter that are a rank's, of which it makes the update. */
export interface OwnedPart {
  readonly at: number
  readonly size: number
  /** Those of the weight, in its dtype. */
  readonly weight: Tensor
  /** Where a micro-batch's whole gradient is, until its memory is another's. */
  readonly gradient: Tensor
  /** Where the sum of their gradients over micro-batches is. */
  readonly sum: Tensor
}

/** Whether what moves is an f32 master beside the weight. */
export const hasMaster = ({ dtype }: Tensor): boolean => dtype !== "f32"

/** The trainable parameters with states of zeros and gradients beside them, so that a model in several
 *  memories is moved where it lies; an f32 master where the weight is of fewer bits. Throws RangeError
 *  where none is left. */
export function parametersOf(
  { tensors, isVector }: Pick<Trained, "tensors" | "isVector">,
  { optimizer, trainable }: UpdateSettings,
  held: Holder,
  ownedOf?: (weight: Tensor, index: number) => OwnedPart,
): Parameter[] {
  const trained = [...tensors]
    .map(([name, weight], index) => ({ name, weight, index }))
    .filter(({ name }) => trainable(name))
  if (trained.length === 0) {
    const some = [...tensors.keys()].slice(0, 3).join(", ")
    throw new RangeError(`trainable leaves none of the ${tensors.size} weights, such as ${some}`)
  }
  return trained.map(({ name, weight, index }) => {
    const owned = ownedOf?.(weight, index)
    // There is no memory of no numbers.
    const shape = owned ? [Math.max(1, owned.size)] : weight.shape
    const own = () => held.allocate(shape, "f32", weight)
    const master = hasMaster(weight) ? own() : (owned?.weight ?? weight)
    const decayed = !isVector(weight)
    const state = optimizer.state.map(own)
    const gradient = owned?.gradient ?? held.allocate(weight.shape, "f32", weight)
    return { name, weight, master, state, gradient, decayed, index, ...(owned && { owned }) }
  })
}

/** Places in the report of a step before the squared norms of the parameters' gradients, and after
 *  those the terms of the loss; `outside` counts the numbers that an update which was tried would have
 *  put beyond f32. */
export const reportHead = { loss: 0, outside: 1, norm: 2 } as const
const headNumbers = 3

/** The place of term number i. */
export const termPlace = (parameters: readonly Parameter[], i: number): number =>
  headNumbers + parameters.length + i

/** Gradients have norms below this, whose square f32 holds. */
export const largestNorm = 1.8e19

/** Parameters stay below this, which bf16 holds too. */
const largestParameter = 3.38e38

/** A place for the report of a step: loss, norm, one number for each parameter and for each term. */
export const allocateReport = (
  held: Holder,
  parameters: readonly Parameter[],
  terms: number,
): Tensor => held.allocate([termPlace(parameters, terms)])

/** Number i of a report, or more from there on, as a tensor to be written. */
export const reportNumber = (report: Tensor, i: number, count = 1): Tensor =>
  bound(bufferOf(report), [count], "f32", 4 * i)

interface UpdatePlace {
  readonly report: Tensor
  readonly rates: Tensor
  readonly tried: boolean
  /** Squared norms of the gradients, (1) each, of which there may be a part here; default what they are. */
  readonly norms?: readonly Tensor[] | undefined
}

/**
 * Updates of one step: moments and parameters move by the gradients; the report gets the norm and
 * the squares it is the root of. A norm that is not finite leaves everything as it is, and so does,
 * where the update is `tried`, a parameter that would not be. rates as the optimizer takes them.
 */
export function optimizerUpdates(
  parameters: readonly Parameter[],
  gradients: ReadonlyMap<Tensor, Tensor>,
  { report, rates, tried, norms }: UpdatePlace,
  settings: UpdateSettings,
): Update[] {
  const flat = parameters.map(({ weight }) => flatten(gradients.get(weight) as Tensor))
  const squares = norms ?? flat.map(squaredNorm) // (1) each
  const total = squares.reduce((a, b) => add(a, b)) // (1)
  const norm = mul(total, rsqrt(affine(total, 1, 1e-30))) // (1)
  const numbers = [norm, ...squares].map(
    (x, i): Update => [reportNumber(report, reportHead.norm + i), x],
  )
  const clipped = clipScale(norm, settings.clip) // (1)
  const moved = (scale: Tensor) =>
    parameters.map((parameter, i) => move(parameter, flat[i] as Tensor, rates, scale, settings))
  if (!tried) return [...moved(clipped).flat(), ...numbers]
  const values = moved(clipped).flatMap((updates) => updates.map(([, value]) => value))
  const outside = values.map(countOutside).reduce((a, b) => add(a, b)) // (1)
  const scale = select(equal(outside, constant([0], [1])), clipped, -1) // (1)
  return [...moved(scale).flat(), ...numbers, [reportNumber(report, reportHead.outside), outside]]
}

/** Numbers of a tensor in device memory, one after another. */
export const sliced = (x: Tensor, { at, size }: Pick<OwnedPart, "at" | "size">): Tensor =>
  bound(bufferOf(x), [size], x.dtype, offsetOf(x) + at * itemBytes(x.dtype))

/** The update of one parameter: it, its state, and the weight of fewer bits that follows it. */
function move(
  parameter: Parameter,
  gradient: Tensor,
  rates: Tensor,
  scale: Tensor,
  settings: UpdateSettings,
): Update[] {
  const { master, state, decayed, owned } = parameter
  const { weight } = owned ?? parameter
  const { optimizer, weightDecay } = settings
  if (owned?.size === 0) return []
  const given = { p: flatten(master), g: gradient, state: state.map(flatten), rates, scale }
  const after = optimizer.update(given, decayed ? weightDecay : 0)
  const shaped = (x: Tensor): Tensor => reshape(x, master.shape)
  // Once, so that it is seen to end where the master is, and is written there.
  const p = shaped(after.p)
  const updates: Update[] = [
    [master, p],
    ...state.map((old, i): Update => [old, shaped(after.state[i] as Tensor)]),
  ]
  if (master !== weight) updates.push([weight, cast(p, weight.dtype)])
  return updates
}

const flatten = (x: Tensor): Tensor => reshape(x, [x.size])

/** Σ x² of a tensor's numbers.  → (1) */
export function squaredNorm(x: Tensor): Tensor {
  const flat = flatten(x)
  return sum(squareSums(flat, { R: Math.ceil(flat.size / squaresPerPart) }))
}

/** How many numbers are not within what parameters may be, NaN too.  → (1) */
function countOutside(x: Tensor): Tensor {
  const numbers = cast(x, "f32")
  const [low, high] = [-1, 1].map((sign) => constant([sign * largestParameter], [1]))
  const within = mul(less(low as Tensor, numbers), less(numbers, high as Tensor))
  return squaredNorm(affine(within, -1, 1))
}

/** min(1, clip / (norm + 1e-6)), and −1 for a norm that is not finite, which stands for no step. */
function clipScale(norm: Tensor, clip: number): Tensor {
  const one = constant([1], [1])
  const ratio = Number.isFinite(clip) ? div(constant([clip], [1]), affine(norm, 1, 1e-6)) : one
  const scale = select(less(ratio, one), ratio, one)
  return select(less(norm, constant([largestNorm], [1])), scale, -1)
}

/** The error of an update that was not made because its gradient, or the parameters after it, would
 *  not be finite, by the report of the step; undefined for one that was made. */
export function failureOf(
  update: number,
  lr: number,
  { loss, gradNorm }: { readonly loss: number; readonly gradNorm: number },
  parameters: readonly Parameter[],
  report: ArrayLike<number>,
): Error | undefined {
  const rest = "Nothing was changed; lower the learning rate"
  const outside = report[reportHead.outside] as number
  // What the update itself went by.
  if (gradNorm < largestNorm) {
    if (outside === 0) return undefined
    return new Error(
      `update ${update}: ${outside} numbers of the parameters and moments would not be finite in f32 ` +
        `(lr ${lr}, gradient norm ${gradNorm}). ${rest} or the weight decay, or raise eps`,
    )
  }
  const square = (i: number): number => report[reportHead.norm + 1 + i] as number
  const bad = parameters.filter((_, i) => !(square(i) < Number.POSITIVE_INFINITY))
  const where = bad.length === 0 ? "all of them together" : bad.map(({ name }) => name).join(", ")
  return new Error(
    `update ${update}: the gradient is not finite (norm ${gradNorm}, loss ${loss}) in ` +
      `${where}. ${rest}, or look at this batch`,
  )
}
