// Made by build/shaders.ts.
import type { Feature } from "./device.ts"

type Params = Readonly<Record<string, number>>

export interface Kernel {
  readonly entry: string
  readonly code: string
  /** Tensors in panels that are bound number by number. */
  readonly scalars: readonly string[]
  /** Other tensors that are bound by fours: their last axis has to be a multiple of 4. */
  readonly fours: readonly string[]
  /** Optional features that have to be in use. */
  readonly features: readonly Feature[]
  /** Workgroups; absent: the op's rows. */
  readonly groups?: (params: Params) => number
  /** Whether this one serves; absent: always. */
  readonly when?: (params: Params) => boolean
}

/** By op: the first that serves is taken. */
export declare const kernels: Readonly<Record<string, readonly Kernel[]>>
