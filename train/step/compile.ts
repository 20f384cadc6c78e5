// The plans of a training step, made ready to run, and what they take.
import { type Backend, type Plan, type Prepared, plan, type Update } from "../../engine/index.ts"

/** Prepares the plan of each list of updates, of which some run several times in a step. */
export function compile<K extends string>(
  backend: Backend,
  updates: Record<K, readonly Update[]>,
  times: { readonly [N in K]?: number } = {},
) {
  const plans = Object.entries<readonly Update[]>(updates).map(
    ([name, list]) => [name as K, plan(list, backend)] as const,
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
