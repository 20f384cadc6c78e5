// The plans of a training step, made ready to run, and what they take.
import type { Backend, Plan, Prepared } from "../../engine/index.ts"

/** Prepares plans, of which some run several times in a step. */
export function compile<K extends string>(
  backend: Backend,
  named: Record<K, Plan>,
  times: { readonly [N in K]?: number } = {},
) {
  const plans = Object.entries<Plan>(named) as [K, Plan][]
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
