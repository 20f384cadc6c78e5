// Made by build/shaders.ts.
import type { Feature } from "./device.ts"

export type Params = Readonly<Record<string, number>>

export interface Kernel {
  readonly entry: string
  readonly code: string
  /** Tensors in panels that are bound number by number. */
  readonly scalars: readonly string[]
  /** Other tensors that are bound by fours: their last axis has to be a multiple of 4. */
  readonly fours: readonly string[]
  /** Tensors that are bound 16 bytes at a time. */
  readonly wide: readonly string[]
  /** Constants of the shader that follow from the parameters. */
  readonly constants?: (params: Params) => Params
  /** Optional features that have to be in use. */
  readonly features: readonly Feature[]
  /** Workgroups, of parameters and constants; absent: the op's rows. */
  readonly groups?: (params: Params) => number
  /** Whether this one serves; absent: always. */
  readonly when?: (params: Params) => boolean
}

/** By op: the first that serves is taken. */
export declare const kernels: Readonly<Record<string, readonly Kernel[]>>
