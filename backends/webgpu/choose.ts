// Which of an op's kernels serves a step, and its shader.
import type { KernelFeature, Step } from "../../engine/index.ts"
import { shaders } from "./shaders.js"

/** How a kernel takes its tensors. */
export interface Taken {
  readonly scalars?: readonly string[] | undefined
  readonly fours?: readonly string[] | undefined
  readonly wide?: readonly string[] | undefined
}

/** A kernel with what follows from the parameters of a step. */
export interface ChosenKernel extends Taken {
  readonly entry: string
  /** Its shader, but for what the prelude puts in front. */
  readonly code: string
  /** Optional features that the shader makes use of. */
  readonly features: readonly KernelFeature[]
  /** Constants of the shader. */
  readonly values: Readonly<Record<string, number>>
  /** Workgroups. */
  readonly groups: number
}

/** The first that serves with the features in use and so many bytes of workgroup memory. */
export function choose(
  { op, call }: Pick<Step, "op" | "call">,
  usable: ReadonlySet<string>,
  storage = Number.POSITIVE_INFINITY,
): ChosenKernel {
  const { params } = call
  const isUsable = (features: readonly KernelFeature[]): boolean =>
    features.every((name) => usable.has(name))
  const kernel = op.gpu.find(
    ({ needs = [], when, storage: taken }) =>
      isUsable(needs) &&
      (when === undefined || when.holds(params)) &&
      (taken === undefined || taken(params) <= storage),
  )
  const { entry = op.name, needs = [] } = kernel ?? {}
  const shader = shaders[entry]?.find(({ features }) => isUsable(features))
  if (!kernel || !shader) throw new Error(`webgpu: there is no kernel ${op.name}`)
  const { fours, foursWhen } = kernel
  return {
    ...kernel,
    fours: foursWhen === undefined || foursWhen(params) ? fours : undefined,
    entry,
    code: shader.code,
    features: [...needs, ...shader.features],
    values: kernel.constants?.(params) ?? {},
    groups: kernel.groups?.(params) ?? op.rows(params),
  }
}
