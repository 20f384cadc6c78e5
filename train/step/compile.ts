// The plans of a training step, made ready to run, and what they take.
import {
  type Backend,
  type Plan,
  type Prepared,
  planStages,
  type Stage,
} from "../../engine/index.ts"

/** Prepares the plan of each list of stages, of which some run several times in a step. */
export function compile<K extends string>(
  backend: Backend,
  stages: Record<K, readonly Stage[]>,
  times: { readonly [N in K]?: number } = {},
) {
  const plans = Object.entries<readonly Stage[]>(stages).map(
    ([name, list]) => [name as K, planStages(list, backend)] as const,
  )
  const arenaBytes = Math.max(...plans.map(([, each]) => each.arenaBytes))
  const total = (of: (each: Plan) => number) =>
    plans.reduce((sum, [name, each]) => sum + of(each) * (times[name] ?? 1), 0)
  const counts = { planSteps: total(({ steps }) => steps.length), flops: total(flopsOf) }
  const prepared: [string, Prepared][] = []
  try {
    for (const [name, each] of plans) prepared.push([name, backend.prepare(each)])
  } catch (error) {
    for (const [, each] of prepared) each.close()
    throw error
  }
  return { arenaBytes, ...counts, ...(Object.fromEntries(prepared) as Record<K, Prepared>) }
}

const flopsOf = ({ steps }: Plan): number =>
  steps.reduce((sum, { op, call }) => sum + (op.isProduct ? op.cost(call.params).flops : 0), 0)
