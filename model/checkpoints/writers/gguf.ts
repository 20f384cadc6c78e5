// GGUF files of OpenELM, as llama.cpp's converter writes them: matrices in the type that is asked for, those
// whose rows are no whole blocks in F16, vectors in F32.
import { encode } from "../../../engine/index.ts"
import type { ModelConfig } from "../../architectures/openelm/config.ts"
import { parameterCount } from "../../config.ts"
import { type WritableFile, writeAtomically } from "../../files/atomic.ts"
import { cannot } from "../../files/disk.ts"
import type { Tokenizer } from "../../tokenizer/index.ts"
import { type WeightDType, weightDTypes } from "../../weights/layout.ts"
import { bytesAs, headerBytes, padded, type TensorInfo, type Typed } from "../gguf/encode.ts"
import { architecture, metadataOf, partsOf } from "../gguf/openelm.ts"
import { quantizers } from "../gguf/quantize.ts"
import { metadataOfTemplates } from "../gguf/templates.ts"
import { vocabularyOf } from "../gguf/vocabulary.ts"
import { fileDTypes, type PlainDType } from "../header.ts"
import { writeAll } from "../safetensors.ts"
import {
  type CheckpointWriter,
  ownTemplates,
  type PublishedTensor,
  publishedOf,
} from "../writer.ts"

/** Types of matrices, and the number that llama.cpp has for a file of them. */
const types = {
  f32: { matrix: "F32", file: 0 },
  f16: { matrix: "F16", file: 1 },
  bf16: { matrix: "BF16", file: 32 },
  q8: { matrix: "Q8_0", file: 7 },
  q4: { matrix: "Q4_0", file: 2 },
} as const satisfies Record<WeightDType, object>

const blockValues = 32

export const gguf: CheckpointWriter = {
  name: "gguf",
  writes: "a GGUF file",
  dtypes: weightDTypes,
  isFile: true,
  async write(request) {
    const { model, path, dtype } = request
    if (model.config.modelType !== architecture) {
      throw new RangeError(
        `GGUF is written for ${architecture} alone, ${model.name} is ${model.config.modelType}`,
      )
    }
    const given = request.tokenizer === undefined ? await model.tokenizer() : request.tokenizer
    const tensors = publishedOf(request, partsOf).map((tensor) => infoOf(tensor, dtype))
    const metadata = headOf(model.config as ModelConfig, dtype, given ?? undefined)
    const templates = given ? await ownTemplates(model) : undefined
    for (const [key, value] of given && templates ? metadataOfTemplates(templates, given) : []) {
      metadata.set(key, value)
    }
    let isOpen = false
    const write = async (file: WritableFile): Promise<void> => {
      isOpen = true
      await writeAll(file, headerBytes(metadata, tensors))
      for (const tensor of tensors) await writeTensor(file, path, tensor)
    }
    await writeAtomically(path, write).catch((error: unknown) => {
      throw isOpen ? error : cannot("write", path, error)
    })
  },
}

function headOf(
  config: ModelConfig,
  dtype: WeightDType,
  tokenizer: Tokenizer | undefined,
): Map<string, Typed> {
  const vocabulary = tokenizer && vocabularyOf(tokenizer, config.vocabSize)
  return new Map<string, Typed>([
    ...Object.entries(metadataOf(config, parameterCount(config))),
    ["general.file_type", { u32: types[dtype].file }],
    ...Object.entries(
      vocabulary ?? {
        "tokenizer.ggml.model": { text: "none" },
        [`${architecture}.vocab_size`]: { u32: config.vocabSize },
      },
    ),
    ["general.quantization_version", { u32: 2 }],
  ])
}

type Info = TensorInfo & PublishedTensor

function infoOf(tensor: PublishedTensor, dtype: WeightDType): Info {
  const { shape, spec } = tensor
  const wanted = types[dtype].matrix
  const isWhole = !(wanted in quantizers) || (shape.at(-1) as number) % blockValues === 0
  const type = !spec.matrix ? "F32" : isWhole ? wanted : "F16"
  return { ...tensor, type, bytes: bytesAs(shape, type) }
}

const dtypes = new Map(Object.entries(fileDTypes).map(([ours, theirs]) => [theirs, ours]))

async function writeTensor(file: WritableFile, path: string, tensor: Info): Promise<void> {
  const { name, type, bytes, values } = tensor
  try {
    for await (const piece of values()) await writeAll(file, encoded(piece, type))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new RangeError(`${path}: ${name}: ${error.message}. Nothing was written`, {
      cause: error,
    })
  }
  await writeAll(file, new Uint8Array(padded(bytes) - bytes))
}

/** Numbers in a type. Throws RangeError for those that are not finite in it. */
function encoded(values: Float32Array, type: string): Uint8Array {
  const most = type === "F16" ? mostOfHalf : Number.MAX_VALUE
  // In a comparison that NaN fails, too.
  for (const x of values) if (!(Math.abs(x) < most)) throw notFinite(type)
  if (type in quantizers) return quantizers[type as keyof typeof quantizers](values)
  return new Uint8Array(encode(dtypes.get(type as "F32") as PlainDType, values).buffer)
}

/** From here on halves round to infinity. */
const mostOfHalf = 65520

const notFinite = (type: string): RangeError =>
  new RangeError(`it has numbers that are NaN or infinite in ${type}; a wider dtype may hold them`)
