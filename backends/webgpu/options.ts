// What a GPU is opened with: the part of the backend that the package's types show, without a type of
// WebGPU itself, so that nobody who uses the package needs those.
import { kernelFeatures } from "../../engine/index.ts"

export const features = [...kernelFeatures, "timestamp-query"] as const
/** Parts of WebGPU that kernels use where they are there. */
export type Feature = (typeof features)[number]

/** How a GPU is opened. */
export interface WebgpuOptions {
  /** Optional features to leave off although the GPU has them. */
  readonly without?: readonly Feature[]
  /** Most bytes that a kernel gets in one piece; default what the GPU allows. Larger tensors are
   *  bound in several. */
  readonly bindingBytes?: number
  /** Called as shaders are compiled, with how many are done and how many there are so far. */
  readonly onCompile?: (done: number, all: number) => void
  /** In Node: Dawn's driver that computes nothing, to compile shaders and to time the rest. What is
   *  read from it is zeros: it leaves whatever its memory held. */
  readonly driver?: "null"
}
