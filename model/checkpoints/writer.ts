// What writes a model in a format, whatever it was read from; and what the writers share: the numbers of
// published tensors as they are asked for, and the files beside the weights.
import { type Backend, encode } from "../../engine/index.ts"
import {
  type ChatTemplates,
  filesOfTemplates,
  templateFiles,
  templatesOf,
} from "../chat/templates.ts"
import { parameterCount } from "../config.ts"
import { readIfThere } from "../files/tree.ts"
import { generationFile } from "../generate/generation.ts"
import type { OpenedModel } from "../opened.ts"
import {
  besideTokenizerFiles,
  filesOfTokenizer,
  type Tokenizer,
  tokenizerFiles,
} from "../tokenizer/index.ts"
import { type Spec, specsOf, type WeightDType } from "../weights/layout.ts"
import { publishedRows, type RowRange } from "../weights/unpacking.ts"
import { valuesOf } from "../weights/values.ts"
import type { Progress } from "../weights/weights.ts"
import { fileDTypes, type PlainDType } from "./header.ts"
import type { TensorData } from "./safetensors.ts"

export interface WriteRequest {
  readonly model: OpenedModel
  /** The folder or file to write. */
  readonly path: string
  readonly dtype: WeightDType
  /** In place of the model's own; null for none. */
  readonly tokenizer?: Tokenizer | null | undefined
  /** Where weights are widened from panels, or packed into them. */
  backend(): Promise<Backend>
  /** Numbers that are written, of all. */
  readonly progress?: Progress | undefined
}

/** Formats that models are written in. */
export type WrittenFormat = "hf" | "mlx" | "gguf" | "elm" | "onnx"

export interface CheckpointWriter {
  readonly name: WrittenFormat
  /** What it writes, for messages. */
  readonly writes: string
  readonly dtypes: readonly WeightDType[]
  /** Whether it writes a single file. */
  readonly isFile?: boolean
  /** Writes all or nothing. Throws RangeError for what the format does not hold. */
  write(request: WriteRequest): Promise<void>
}

/** A tensor of a published file, and its numbers in f32. */
export interface PublishedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly spec: Spec
  values(): AsyncGenerator<Float32Array>
}

/** Which tensors of a file a weight becomes, and which rows of it each has. */
type Parts = (spec: Spec) => ReadonlyMap<string, readonly RowRange[]>

/** The tensors of a model as its family is published, or as `parts` says; made when they are asked for. */
export function publishedOf(
  { model, backend, progress }: WriteRequest,
  parts: Parts = publishedRows,
): PublishedTensor[] {
  const total = parameterCount(model.config)
  let done = 0
  return specsOf(model.config).flatMap((spec) =>
    [...parts(spec)].map(([name, ranges]) => {
      const rows = ranges.reduce((sum, { count }) => sum + count, 0)
      const values = async function* () {
        for await (const piece of valuesOf(model, spec, ranges, backend)) {
          yield piece
          done += piece.length
          progress?.(done, total)
        }
      }
      return { name, shape: [rows, ...spec.shape.slice(1)], spec, values }
    }),
  )
}

/** A tensor in a dtype, for `writeSafetensors`. */
export function plainTensor({ shape, values }: PublishedTensor, dtype: PlainDType): TensorData {
  const data = async function* () {
    for await (const piece of values()) yield encode(dtype, piece)
  }
  return { dtype: fileDTypes[dtype], shape, data: data() }
}

const besideFiles = [...templateFiles, generationFile]
const mostBytes = 64 << 20

/** The chat templates that are a model's own: of a folder, or in a file; undefined where there are none. */
export async function ownTemplates({
  tree,
  chatTemplates: carried,
}: OpenedModel): Promise<ChatTemplates | undefined> {
  const isFolder = tree.file === undefined
  if (!isFolder && !carried) return undefined
  return templatesOf(tree, carried)
}

/** Files to write beside the weights: the tokenizer's, and those that say how a model is used. */
export async function filesBeside({
  model,
  tokenizer,
}: Pick<WriteRequest, "model" | "tokenizer">): Promise<Map<string, Uint8Array>> {
  const { tree, config } = model
  const files = new Map<string, Uint8Array>()
  const add = async (names: readonly string[]): Promise<void> => {
    for (const name of names) {
      const bytes = await readIfThere(tree, name, mostBytes)
      if (bytes) files.set(name, bytes)
    }
  }
  // A folder is a model's own; a single file may lie among others.
  const isFolder = tree.file === undefined
  if (tokenizer === undefined && isFolder) await add(tokenizerFiles)
  const own = tokenizer === undefined && files.size === 0 ? await model.tokenizer() : tokenizer
  if (own && own.vocabSize > config.vocabSize) {
    throw new RangeError(
      `the tokenizer has ${own.vocabSize} pieces, ${model.name} a vocabulary of ${config.vocabSize}. ` +
        "Give the tokenizer that it was trained with",
    )
  }
  for (const [name, bytes] of own ? filesOfTokenizer(own) : []) files.set(name, bytes)
  if (files.has("vocab.json") && isFolder) await add(besideTokenizerFiles)
  if (isFolder || config.generation) await add(besideFiles)
  const isCarried = (model.chatTemplates?.named.size ?? 0) > 0
  if (!isCarried && templateFiles.some((name) => files.has(name))) return files
  const templates = await ownTemplates(model)
  for (const [name, bytes] of templates ? filesOfTemplates(templates, files) : []) {
    files.set(name, bytes)
  }
  return files
}
