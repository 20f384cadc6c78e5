// How an op runs on a GPU, as fields of its declaration: which entry point of which .wgsl files serves
// which sizes. The build links the shaders by these fields, and a backend chooses by them.
import type { Sizes } from "./signature.ts"

/** Optional features of a GPU that kernels are written for. */
export const kernelFeatures = ["shader-f16", "subgroups", "subgroup-matrix", "packed-dot"] as const
/** Parts of WebGPU that a kernel may need. */
export type KernelFeature = (typeof kernelFeatures)[number]

/** Which parameters a kernel serves, and the same in words of the op, such as `M > 8`. */
export interface KernelCondition<P = Sizes> {
  readonly text: string
  /** Whether it serves them. */
  readonly holds: (params: P) => boolean
}

/** One way to run an op on a GPU; of several, the first that serves is taken. `T` are the names of the
 *  op's tensors, `P` its parameters. */
export interface KernelVariant<T extends string = string, P = Sizes> {
  /** The entry point; left out, it has the op's name. */
  readonly entry?: string
  /** Files under ops/ that it is linked from, after them all of ops/shared/: of a name that several
   *  declare, the first one's declaration is meant. */
  readonly from: readonly string[]
  /** Whether it serves these parameters; left out, it serves all. */
  readonly when?: KernelCondition<P>
  /** Features without which it does not run. */
  readonly needs?: readonly KernelFeature[]
  /** Bytes of workgroup memory that it takes, where that is more than every GPU has. */
  readonly storage?: (params: P) => number
  /** How many workgroups it takes; left out, as many as the op has rows. */
  readonly groups?: (params: P) => number
  /** Constants of the shader that follow from the parameters. */
  readonly constants?: (params: P) => Readonly<Record<string, number>>
  /** Tensors in panels that it takes number by number, not by fours. */
  readonly scalars?: readonly T[]
  /** Tensors not in panels that it takes by fours: `x_four(i)` and `y_setFour(i, v, end)` have element
   *  i first, whether or not they are bound so. */
  readonly fours?: readonly T[]
  /** Whether these parameters let it: where not, it takes them number by number. */
  readonly foursWhen?: (params: P) => boolean
  /** Tensors that it takes 16 bytes at a time: `w_half` gives eight numbers of a tensor in panels,
   *  `w_at` words of others. */
  readonly wide?: readonly T[]
}
