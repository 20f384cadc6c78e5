// Which weights each stage of a plan reads, where no rank keeps them whole.
import { inStages, type Plan, type Tensor } from "../../engine/index.ts"
import type { ShardedWeights } from "../parallel/weights.ts"

/** Of each stage the units of weights that have to be whole while it runs. */
export type Needs = readonly (readonly number[])[]

/** Throws RangeError where a stage reads two that cannot be whole at once. */
export function needsOf(plan: Plan, weights: ShardedWeights): Needs {
  return inStages(plan.steps, plan).map((steps) => {
    const read = steps.flatMap(({ call }) => call.inputs)
    const units = [...new Set(read.flatMap((x) => weights.unitOf(rootOf(x)) ?? []))]
    const clash = units.find((unit) => units.some((other) => weights.isEither(unit, other)))
    if (clash === undefined) return units
    throw new RangeError(
      `shard "full": parts of this model use weights of layers ${units.map((u) => u - 1).join(" and ")} at once. ` +
        'Use "state"',
    )
  })
}

/** What a tensor is a view of. */
function rootOf(tensor: Tensor): Tensor {
  const { origin } = tensor
  if (origin.kind !== "call" || !origin.call.op.view) return tensor
  return rootOf(origin.call.inputs[0] as Tensor)
}
