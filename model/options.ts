// What a model is asked for when it is made. Checked in checks.ts, but for files: http.ts.
import type { Backend } from "../engine/index.ts"
import type { Waiting } from "./files/http.ts"
import type { CacheDType } from "./generate/state.ts"
import type { TokenizerOption } from "./generate/text.ts"
import type { WeightDType } from "./weights/layout.ts"
import type { Progress } from "./weights/weights.ts"

/** What a model is made with. */
export interface ModelOptions {
  readonly backend: Backend
  /** How the weight matrices are kept in memory: f32 (default), f16, bf16, q8 or q4.
   *  A folder that `elm quantize` wrote has its own, which is its default. In q8 and q4 the blocks of
   *  GGUF's Q8_0 and Q4_0 stay as the file has them, where they have no more bits. */
  readonly dtype?: WeightDType
  /** Positions that the key-value cache holds; default the model's context. */
  readonly capacity?: number
  /** How the key-value cache is kept: f32 (default), f16 in half the memory, or q8 in little more than a
   *  quarter: 8 bits a number, and a scale for each head of a position. */
  readonly cache?: CacheDType
  /** For text: a tokenizer, its path, "byte", or null for none. Default: that of the folder. */
  readonly tokenizer?: TokenizerOption
  /** Called as weights arrive, with bytes done and in all. */
  readonly onProgress?: Progress
}

/** Also how long to wait for files: a signal ends the loading, and so does a server that is silent
 *  for longer than the time limit. */
export interface LoadOptions extends ModelOptions, Waiting {}

/** The same for seeded weights. */
export interface RandomOptions extends ModelOptions {
  /** Seed of the weights; default 0. */
  readonly seed?: number
}

/** How weights are written. */
export interface SaveOptions {
  /** How the weights are written; default as they are kept in memory. */
  readonly dtype?: "f32" | "f16" | "bf16"
}
