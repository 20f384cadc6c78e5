// Which files of WGSL are for GPUs with an optional feature.
import type { KernelFeature } from "../../engine/index.ts"

/** Files of WGSL whose declarations stand, where a GPU has the feature, for those of the same name in
 *  other files that a kernel is linked from. */
export const fileFeatures: Readonly<Record<string, KernelFeature>> = {
  "shared/subgroups.wgsl": "subgroups",
  "product/matmul_row_subgroups.wgsl": "subgroups",
}
