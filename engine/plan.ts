// Flattens a graph into steps, once: which calls, in which order, in which memory. A plan's effects
// are its updates: each writes one value into one bound tensor (an output, a cache, a parameter).
import { layOut } from "./arena.ts"
import type { Backend } from "./backend.ts"
import { checkArray, checkBackend, checkTensor } from "./check.ts"
import { lower } from "./lower.ts"
import type { Call, Op } from "./op.ts"
import { type Place, Placer } from "./place.ts"
import { printPlan } from "./print.ts"
import type { Tensor } from "./tensor.ts"

/** [bound tensor, the value it holds after the run]. */
export type Update = readonly [target: Tensor, value: Tensor]

/** One kernel of a plan, and where its operands lie. */
export interface Step {
  readonly op: Op
  readonly call: Call
  readonly inputs: readonly Place[]
  readonly outputs: readonly Place[]
}

/** A part of a plan that runs by itself, after those before it: between two of them bound tensors that
 *  later ones read may be given other values. */
export interface Stage {
  readonly updates: readonly Update[]
  /** What else is computed in it, for those after it. */
  readonly values?: readonly Tensor[]
}

/** What a list of updates takes, in the order in which it runs. */
export interface Plan {
  readonly steps: readonly Step[]
  /** Of each stage the number of steps up to its end; one of a plan that is not cut. */
  readonly ends: readonly number[]
  /** Bytes of the one arena that holds every intermediate value. */
  readonly arenaBytes: number
  /** One line per step: kernel, inputs, outputs, where they lie. */
  toString(): string
}

/**
 * Orders the calls that the updates need, lowers them to kernels that the backend has, places every
 * value in memory. All targets change as if at once: a value recorded from a target is its old one.
 * Throws TypeError for a target that is not bound, RangeError for one of another shape or two that
 * overlap.
 */
export function plan(
  updates: readonly Update[],
  backend: Pick<Backend, "name" | "has" | "alignment">,
): Plan {
  checkArray("plan: the updates", updates, "pairs of target and value")
  return planStages([{ updates }], backend)
}

/** The same cut into stages over one arena. Those of different stages may write the same memory: a value that
 *  is recorded from a target is what the last stage before has left there. Throws as `plan` does. */
export function planStages(
  stages: readonly Stage[],
  backend: Pick<Backend, "name" | "has" | "alignment">,
): Plan {
  checkBackend("plan: the backend", backend)
  for (const { updates } of stages) checkUpdates(updates)
  const lowered = lower(
    stages.map(({ updates, values = [] }) => [...updates.map(([, value]) => value), ...values]),
    backend,
  )
  const placed = lowered.map(({ calls, values }, s) => {
    const { updates } = stages[s] as Stage
    return { calls, updates: updates.map(([target], i): Update => [target, values[i] as Tensor]) }
  })
  const { steps, ends } = new Placer(placed).place()
  const result = {
    steps,
    ends,
    arenaBytes: layOut(steps, backend.alignment),
    toString: () => printPlan(result),
  }
  return result
}

function checkUpdates(updates: readonly Update[]): void {
  updates.forEach(checkUpdate)
  updates.forEach(([target], i) => {
    if (updates.slice(0, i).some(([other]) => overlap(target, other))) {
      throw new RangeError(`plan: ${target} is written by two updates. Give each its own memory`)
    }
  })
}

function checkUpdate(update: Update, i: number): void {
  checkArray(`plan: updates[${i}]`, update, "a target and a value")
  const [target, value] = update
  checkTensor(`plan: the target of updates[${i}]`, target)
  checkTensor(`plan: the value of updates[${i}]`, value)
  if (target.origin.kind !== "bound") {
    throw new TypeError(`plan: an update writes a bound tensor, got a ${target.origin.kind}`)
  }
  if (target.dtype !== value.dtype || target.shape.join() !== value.shape.join()) {
    throw new RangeError(`plan: ${target} cannot hold ${value}`)
  }
}

function overlap({ origin: a, bytes }: Tensor, { origin: b, bytes: others }: Tensor): boolean {
  if (a.kind !== "bound" || b.kind !== "bound" || a.buffer !== b.buffer) return false
  return a.offset < b.offset + others && b.offset < a.offset + bytes
}

/** What belongs to each stage of what belongs to the steps of a plan, one after another. */
export const inStages = <T>(all: readonly T[], { ends }: Pick<Plan, "ends">): T[][] =>
  ends.map((end, stage) => all.slice(ends[stage - 1] ?? 0, end))
