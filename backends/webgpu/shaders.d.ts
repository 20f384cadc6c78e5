// Made by build/shaders.ts.
import type { KernelFeature } from "../../engine/index.ts"

interface Shader {
  /** Optional features beside those that the kernel needs, which it makes use of. */
  readonly features: readonly KernelFeature[]
  readonly code: string
}

/** By entry point: of those whose features are in use, the first is taken. */
export declare const shaders: Readonly<Record<string, readonly Shader[]>>
