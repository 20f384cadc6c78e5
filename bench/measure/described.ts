// What a backend says of itself beyond the interface of backends, for those who measure it.
import type { Profile } from "../../backends/webgpu/index.ts"
import type { Plan } from "../../engine/index.ts"

/** What a backend may say of itself; the js backend says nothing. */
export interface Described {
  readonly threads?: number
  /** GFLOP/s of the product tiles that were compared when it was opened. */
  readonly tileRates?: { readonly narrow: number; readonly wide: number } | undefined
  /** Times the dispatches of a plan on the device. */
  profile?(plan: Plan, repeat: number): Promise<readonly Profile[]>
}
