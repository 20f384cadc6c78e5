// Which of an op's kernels serves a step.
import type { Step } from "../../engine/index.ts"
import type { Feature } from "./device.ts"
import { type Kernel, kernels, type Params } from "./kernels.js"

/** A kernel with what follows from the parameters of a step. */
export interface Chosen extends Kernel {
  readonly values: Params
}

/** The first that serves with the features in use. */
export function choose(
  { op, call }: Pick<Step, "op" | "call">,
  features: ReadonlySet<Feature>,
): Chosen {
  const found = kernels[op.name]?.find(
    (kernel) =>
      kernel.features.every((name) => features.has(name)) && (kernel.when?.(call.params) ?? true),
  )
  if (!found) throw new Error(`webgpu: there is no kernel ${op.name}`)
  const values = found.constants?.(call.params) ?? {}
  const { groups } = found
  if (!groups) return { ...found, values }
  return { ...found, values, groups: (params) => groups({ ...params, ...values }) }
}
