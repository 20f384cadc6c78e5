// What a family of decoders is: its config, its weights by their published names, and its forward
// pass as calls of a recorder. OpenELM is the first (architectures/openelm.ts); each further family is
// a file beside it and a line in their list.
import type { Tensor } from "../engine/index.ts"
import type { StoredTensor } from "./checkpoints/checkpoint.ts"
import type { GenerationDefaults } from "./generate/generation.ts"
import type { Linear, Norm, Recorder, Stream } from "./recorder.ts"

/** What this engine has to know of any decoder; a family adds fields of its own. */
export interface DecoderConfig {
  /** `model_type` of its config.json: the family. */
  readonly modelType: string
  readonly name: string
  readonly layers: number
  readonly modelDim: number
  readonly headDim: number
  readonly vocabSize: number
  readonly maxContext: number
  /** H, G and F of every layer: query heads, key/value heads, feed-forward width. */
  readonly queryHeads: readonly number[]
  readonly keyHeads: readonly number[]
  readonly ffnDims: readonly number[]
  /** Absent where texts of the family begin with no token of their own. */
  readonly bosId?: number
  readonly eosId: number
  /** All tokens that end a text, where there are several; then `eosId` is the first of them. */
  readonly eosIds?: readonly number[]
  /** The token that batches are filled up with: no loss, no embedding gradient. */
  readonly paddingIndex?: number
  /** What the folder's generation_config.json says, if it has one. */
  readonly generation?: GenerationDefaults
}

/** How a weight is laid out: rows of outputs, of which `gated` has gates first and values after them; a
 *  number for each of a norm's columns, or for each output of a product or a norm. */
export type WeightKind = "matrix" | "gated" | "vector" | "bias" | "embedding"

/** Rows of a tensor in a file; all of it where no rows are named. */
export interface Rows {
  readonly name: string
  readonly start?: number
  readonly count?: number
}

/** One weight of a model. */
export interface WeightSpec {
  /** Its name in `model.tensors`; that in files too, where `from` names no other. */
  readonly name: string
  readonly shape: readonly number[]
  readonly kind: WeightKind
  /** Standard deviation at the start of training; vectors are ones, biases zeros. */
  readonly std: number
  /** Tensors of a published file whose rows make this weight, one after another. */
  readonly from?: readonly Rows[]
}

/** What files of a family may hold beside its weights. */
export interface Strays {
  /** Copies that files may have as well as the weight, or in its place, by plain names
   *  (checkpoints/names.ts). */
  readonly copies?: ReadonlyMap<string, string>
  /** Plain names of tensors that follow from the config, such as masks; left unread. */
  readonly ignored?: RegExp
  /** Tensors that no model of the family has, and why. */
  readonly refused?: ReadonlyMap<string, string>
}

/** A tensor that follows from the config, such as the angles of rotary positions. */
interface Table {
  readonly shape: readonly number[]
  /** Its numbers, row by row, in f32. */
  values(): Float32Array
}

/** What the parts of one layer are, by names of the family's own. */
export type LayerWeights = Readonly<Record<string, Linear | Norm>>

/** Weights as graphs are recorded with them; a family adds what its head and its embedding need. */
export interface DecoderWeights {
  readonly embedding: Linear
  readonly layers: readonly LayerWeights[]
  /** How queries and keys are turned at each position; absent where positions go in another way. */
  readonly angles?: Tensor // (positions, E)
}

/** Gives the parts of a model by their names: a matrix, a vector, a table. */
export interface Parts {
  linear(name: string): Linear
  vector(name: string): Tensor
  table(name: string): Tensor
}

/** The last norm, if there is one, and the product that gives the logits. */
interface Head {
  readonly x: Stream // (rows, D)
  readonly norm: Norm | undefined
  readonly linear: Linear // (V, D)
}

export interface Architecture<
  C extends DecoderConfig = DecoderConfig,
  W extends DecoderWeights = DecoderWeights,
> {
  readonly modelType: string
  /** Models that are published under these names: the fields of their config.json. */
  readonly published?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What the names of weights begin with in published files, where that is more than here. */
  readonly prefix?: string
  /** Reads a config.json of the family. Throws TypeError or RangeError naming `source` and the field. */
  parse(json: Readonly<Record<string, unknown>>, source: string): C
  /** The same as an object for JSON.stringify, which `parse` reads back. */
  toJson(config: C): Record<string, unknown>
  /** The config as the tensors of a published file have it, by plain names (checkpoints/names.ts), for
   *  families whose config.json leaves something out or says it wrong. */
  corrected?(config: C, tensors: ReadonlyMap<string, StoredTensor>): Promise<C>
  /** Every weight, in the order of the family's state dict. */
  weights(config: C): readonly WeightSpec[]
  strays?(config: C): Strays
  /** What a config.json would say of tensors of these shapes, by plain names (checkpoints/names.ts), for
   *  files that come without one; undefined for other families' tensors. Throws RangeError that names
   *  `source` for sizes that do not fit together. */
  inferred?(
    shapes: ReadonlyMap<string, readonly number[]>,
    source: string,
  ): Record<string, unknown> | undefined
  tables(config: C): Readonly<Record<string, Table>>
  assemble(config: C, parts: Parts): W
  /** The residual stream at its start.  tokens i32 (B·T) → (B·T, D) */
  embed(config: C, w: W, tokens: Tensor, r: Recorder): Stream
  /** Layer i: attention, then the feed-forward network, each added to the stream. */
  block(config: C, w: W, i: number, x: Stream, r: Recorder): Stream
  head(config: C, w: W, x: Stream, r: Recorder): Head
}
