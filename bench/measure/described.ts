// What a backend says of itself beyond the interface of backends, for those who measure it.
import type { Plan } from "../../engine/index.ts"

/** One dispatch of a plan, as a GPU ran it. */
export interface Dispatched {
  readonly step: number
  readonly kernel: string
  readonly workgroups: number
  readonly microseconds: number | undefined
}

/** What a backend may say of itself; the js backend says nothing. */
export interface Described {
  readonly threads?: number
  readonly build?: string
  /** GFLOP/s of the product tiles that were compared when it was opened. */
  readonly tileRates?: { readonly narrow: number; readonly wide: number } | undefined
  /** Times the dispatches of a plan on the device. */
  profile?(plan: Plan, repeat: number): Promise<readonly Dispatched[]>
}
