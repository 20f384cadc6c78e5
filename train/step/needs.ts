// Which weights each stage of a plan reads, where no rank keeps them whole, and that they are there.
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

/** Runs stages, each with the weights that it needs, and the next one's on their way; what is to be exchanged `after`
 *  one comes behind those. All ranks run as many. */
export async function throughStages(
  needs: Needs,
  weights: ShardedWeights,
  run: (stage: number) => void | Promise<void>,
  after?: (stage: number) => Promise<void>,
): Promise<void> {
  for (const [stage, units] of needs.entries()) {
    for (const unit of units) await weights.need(unit)
    const next = needs.slice(stage + 1).find((others) => others.length > 0)
    for (const unit of next ?? []) await weights.ahead(unit, units)
    await run(stage)
    // One exchange at a time.
    await weights.settled()
    await after?.(stage)
  }
}

/** What a tensor is a view of. */
function rootOf(tensor: Tensor): Tensor {
  const { origin } = tensor
  if (origin.kind !== "call" || !origin.call.op.view) return tensor
  return rootOf(origin.call.inputs[0] as Tensor)
}
