// The plans of a training step for batches of one shape, and the memory that they take and leave: a
// batch, and a report of losses and norms. When they run is step.ts's matter.
import {
  type Backend,
  bufferOf,
  type Prepared,
  plan,
  planStages,
  type Stage,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import type { Decoder, Holder } from "../../model/index.ts"
import { accumulate, reshape } from "../../ops/index.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import type { MicroBatch } from "./batch.ts"
import { compile } from "./compile.ts"
import { allocateDropout } from "./dropout.ts"
import { type BatchTensors, type Phase, recordStep } from "./graph.ts"
import { type Needs, needsOf } from "./needs.ts"
import { roundsOf, type TrainSettings } from "./options.ts"
import { Squares } from "./squares.ts"
import {
  allocateReport,
  optimizerUpdates,
  type Parameter,
  reportHead,
  reportNumber,
  termPlace,
} from "./update.ts"

/** What plans are for: rows and positions of a micro-batch, and whether the update is tried before
 *  anything moves. */
export interface StepForm {
  readonly B: number
  readonly T: number
  readonly tried: boolean
}

/** Inputs, targets and the first visible position of each, on the backend, and the plans for them. */
export interface StepPlans {
  readonly form: StepForm
  readonly batch: BatchTensors
  readonly arenaBytes: number
  readonly planSteps: number
  /** Multiply-adds, twice, of the products and of attention in one update. */
  readonly flops: number
  /** Forward, backward and, where there is one micro-batch, the update. */
  readonly first: Prepared
  /** Adds a further micro-batch to the gradients, where they are not summed over ranks. */
  readonly more?: Prepared
  readonly update?: Prepared
  /** Where each rank makes a part of the update: the squares of its part of the gradients, before it. */
  readonly ownSquares?: Prepared
  readonly squares?: Squares
  /** The stages of `first` where ranks share a step, and the units of weights that each reads where no rank keeps
   *  them whole. */
  readonly phases: readonly Phase[]
  readonly needs?: Needs
  readonly report: Tensor
  /** Updates that put the losses into the report, and the plan of them alone, made when asked for. */
  readonly losses: readonly Update[]
  evaluation?: Evaluating
  readonly held: Holder
}

interface Planned {
  readonly backend: Backend
  readonly decoder: Decoder
  readonly settings: TrainSettings
  readonly parameters: readonly Parameter[]
  /** As the optimizer takes them. */
  readonly rates: Tensor
  /** Where no rank keeps them whole. */
  readonly weights?: ShardedWeights | undefined
}

/** Memory for B rows of T positions. */
export const allocateBatch = (B: number, T: number, held: Holder): BatchTensors => ({
  tokens: held.allocate([B * T], "i32"),
  targets: held.allocate([B * T], "i32"),
  starts: held.allocate([B, T], "i32"),
  count: held.allocate([1]),
  given: held.allocate([B]),
})

/** Records and prepares the plans; what they hold beside the parameters is the holder's. */
export function recordPlans(planned: Planned, form: StepForm, held: Holder): StepPlans {
  const { backend, decoder, settings, parameters, rates } = planned
  const { B, T, tried } = form
  const batch = {
    ...allocateBatch(B, T, held),
    ...(settings.adapter?.config.dropout && { dropout: allocateDropout(held, B * T) }),
  }
  const { objective } = settings
  const ofSequences = B * (objective.sequences?.length ?? 0)
  const report = allocateReport(held, parameters, objective.terms.length + ofSequences)
  const recorded = recordStep(
    decoder,
    parameters.map(({ weight }) => weight),
    batch,
    settings,
  )
  const { loss, terms, sequences, gradients, phases } = recorded
  const losses: Update[] = [
    [reportNumber(report, reportHead.loss), loss],
    ...objective.terms.map((name, i): Update => {
      return [reportNumber(report, termPlace(parameters, i)), terms[name] as Tensor]
    }),
  ]
  for (const [i, each] of sequences.entries()) {
    const at = termPlace(parameters, objective.terms.length) + i * B
    losses.push([reportNumber(report, at, B), each])
  }
  const place = { report, rates, tried }
  const all = { form, batch, report, losses, phases, held }
  const sums = new Map(parameters.map(({ weight, gradient }) => [weight, gradient]))
  const first = gradientStages(recorded, parameters, losses, settings.ranks)
  const rounds = roundsOf(settings)
  if (settings.accumulation === 1) {
    const updates = optimizerUpdates(parameters, gradients, place, settings)
    const whole = first.flatMap((stage) => stage.updates)
    return { ...all, ...compile(backend, { first: plan([...whole, ...updates], backend) }) }
  }
  // Among several ranks, every round's gradients are summed outside of the plans.
  if (settings.ranks.size > 1) {
    return { ...all, ...compileShared(first, { ...planned, sums, place, held }) }
  }
  const update = optimizerUpdates(parameters, sums, place, settings)
  const addTo = (weight: Tensor): Update => {
    const [sum, gradient] = [sums.get(weight) as Tensor, gradients.get(weight) as Tensor]
    const flat = [sum, gradient].map((x) => reshape(x, [x.size])) as [Tensor, Tensor]
    return [sum, reshape(accumulate(...flat), sum.shape)]
  }
  // Phase by phase, or the gradients of all layers would wait for the last to be added.
  const more = planStages(byPhase(phases, losses, addTo), backend)
  const plans = { first: planStages(first, backend), more, update: plan(update, backend) }
  return { ...all, ...compile(backend, plans, { more: rounds - 1 }) }
}

/** The plan of a micro-batch's losses and gradients: cut where ranks share it. */
export function gradientStages(
  { gradients, phases }: Pick<ReturnType<typeof recordStep>, "gradients" | "phases">,
  parameters: readonly Parameter[],
  losses: readonly Update[],
  { size }: TrainSettings["ranks"],
): Stage[] {
  const places = new Map(parameters.map(({ weight, gradient }) => [weight, gradient]))
  const setOf = (weight: Tensor): Update => {
    return [places.get(weight) as Tensor, gradients.get(weight) as Tensor]
  }
  if (size === 1) return [{ updates: [...losses, ...[...places.keys()].map(setOf)] }]
  return byPhase(phases, losses, setOf)
}

/** Of each phase, what comes of the gradients that it completes; the losses with the head's. */
const byPhase = (
  phases: ReturnType<typeof recordStep>["phases"],
  losses: readonly Update[],
  updateOf: (weight: Tensor) => Update,
): Stage[] =>
  phases.map(({ values, completed, isHead }) => {
    return { values, updates: [...(isHead ? losses : []), ...completed.map(updateOf)] }
  })

interface Shared extends Pick<Planned, "backend" | "parameters" | "settings" | "weights"> {
  /** Where the gradient of each weight is, whole. */
  readonly sums: ReadonlyMap<Tensor, Tensor>
  readonly place: Parameters<typeof optimizerUpdates>[2]
  readonly held: Holder
}

/** The plans of a rank: all of the update, or its part of it. */
function compileShared(
  stages: readonly Stage[],
  { backend, parameters, settings, weights, sums, place, held }: Shared,
) {
  const times = { first: roundsOf(settings) }
  const first = planStages(stages, backend)
  if (settings.shard === "none") {
    const updates = optimizerUpdates(parameters, sums, place, settings)
    return compile(backend, { first, update: plan(updates, backend) }, times)
  }
  const squares = new Squares(parameters, held, settings.ranks)
  const own = new Map(parameters.map(({ weight, owned }) => [weight, owned?.sum as Tensor]))
  const updates = optimizerUpdates(parameters, own, { ...place, norms: squares.norms }, settings)
  const lists = { ownSquares: plan(squares.updates, backend), update: plan(updates, backend) }
  const needs = weights && needsOf(first, weights)
  return { squares, ...(needs && { needs }), ...compile(backend, { first, ...lists }, times) }
}

/** Puts the rows of a micro-batch on the backend. */
export function uploadRows(
  backend: Backend,
  batch: Pick<BatchTensors, "tokens" | "targets" | "starts">,
  part: MicroBatch,
): void {
  backend.write(bufferOf(batch.tokens), part.inputs)
  backend.write(bufferOf(batch.targets), part.targets)
  backend.write(bufferOf(batch.starts), part.starts)
}

/** Puts a micro-batch on the backend; its losses and gradients are those of `count` targets, and each
 *  sequence has a number given. */
export function upload(
  backend: Backend,
  { batch }: StepPlans,
  part: MicroBatch,
  count: number,
  given = new Float32Array(batch.given.size),
): void {
  uploadRows(backend, batch, part)
  backend.write(bufferOf(batch.count), Float32Array.of(count))
  backend.write(bufferOf(batch.given), given)
}

/** The plan of the losses alone. */
interface Evaluating {
  readonly prepared: Prepared
  /** By its stages, where no rank keeps weights whole. */
  readonly needs?: Needs
}

/** Made when it is asked for. */
export function evaluationOf(
  backend: Backend,
  plans: StepPlans,
  weights?: ShardedWeights,
): Evaluating {
  plans.evaluation ??= weights
    ? evaluationInStages(backend, plans, weights)
    : { prepared: backend.prepare(plan(plans.losses, backend)) }
  return plans.evaluation
}

/** Forward and the head, phase by phase. */
export function forwardStages(phases: readonly Phase[], updates: readonly Update[]): Stage[] {
  const head = phases.findIndex(({ isHead }) => isHead)
  const forward = phases.slice(0, head).map(({ values }) => ({ values, updates: [] }))
  return [...forward, { updates }]
}

function evaluationInStages(
  backend: Backend,
  { phases, losses }: StepPlans,
  weights: ShardedWeights,
): Evaluating {
  const all = planStages(forwardStages(phases, losses), backend)
  return { prepared: backend.prepare(all), needs: needsOf(all, weights) }
}

export function freePlans(plans: StepPlans): void {
  const { first, more, update, ownSquares, evaluation } = plans
  for (const each of [first, more, update, ownSquares, evaluation?.prepared]) each?.close()
  plans.held.free()
}
