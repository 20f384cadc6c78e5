// What a model is, said without loading it: its family and sizes, what its files hold, and the memory that
// it will take.

import { checkObject } from "../engine/index.ts"
import type { StoredTensor } from "./checkpoints/checkpoint.ts"
import { openCheckpoint } from "./checkpoints/formats.ts"
import { parameterCount } from "./config.ts"
import type { Waiting } from "./files/http.ts"
import type { FileSource } from "./files/source.ts"
import { type CacheDType, cacheDTypes, cacheRowBytes } from "./generate/state.ts"
import { configIn } from "./opened.ts"
import { filesOfTokenizer } from "./tokenizer/index.ts"
import { type WeightDType, weightBytes, weightDTypes } from "./weights/layout.ts"

/** Tensors of one type, and their bytes in files. */
export interface TensorTotal {
  readonly dtype: string
  readonly tensors: number
  readonly bytes: number
}

/** Heads of queries and of keys and values in a layer, and the width of its feed-forward network. */
export interface LayerSizes {
  readonly queryHeads: number
  readonly keyHeads: number
  readonly ffnDim: number
}

/** A model as `describeModel` tells of it; sizes of memory are bytes. */
export interface ModelDescription {
  readonly name: string
  readonly family: string
  /** Of its files. */
  readonly format: string
  readonly parameters: number
  readonly modelDim: number
  readonly headDim: number
  readonly vocabSize: number
  readonly maxContext: number
  readonly layers: readonly LayerSizes[]
  readonly tensors: readonly TensorTotal[]
  /** null where there is none; `error` where it cannot be read. */
  readonly tokenizer: { readonly file: string; readonly pieces: number } | { error: string } | null
  /** Files of weights, by path or URL. */
  readonly files: readonly string[]
  /** Bytes of the weights in each dtype, and of the cache of a whole context. */
  readonly memory: {
    readonly weights: Readonly<Record<WeightDType, number>>
    readonly cache: Readonly<Record<CacheDType, number>>
  }
}

/** What a model of any form is: its family, sizes, dtypes, tokenizer, files, and the memory it will take.
 *  Reads headers and no weights. Throws as loading the model does. */
export async function describeModel(
  from: FileSource,
  waiting: Waiting = {},
): Promise<ModelDescription> {
  checkObject("describeModel: options", waiting)
  const checkpoint = await openCheckpoint(from, waiting)
  try {
    const config = await configIn(checkpoint)
    const { format, tensors } = checkpoint
    const { name, modelType, modelDim, headDim, vocabSize, maxContext, keyHeads } = config
    const layers = config.queryHeads.map((queryHeads, i) => ({
      queryHeads,
      keyHeads: keyHeads[i] as number,
      ffnDim: config.ffnDims[i] as number,
    }))
    const rows = 2 * maxContext * keyHeads.reduce((a, b) => a + b, 0)
    return {
      ...{ name, family: modelType, format, parameters: parameterCount(config) },
      ...{ modelDim, headDim, vocabSize, maxContext, layers },
      tensors: totalsOf([...tensors.values()]),
      tokenizer: await tokenizerOf(checkpoint),
      files: [...new Set([...tensors.values()].map(({ file }) => file))],
      memory: {
        weights: byName(weightDTypes, (dtype) => weightBytes(config, dtype)),
        cache: byName(cacheDTypes, (dtype) => rows * cacheRowBytes(headDim, dtype)),
      },
    }
  } finally {
    await checkpoint.close()
  }
}

const byName = <K extends string>(names: readonly K[], of: (name: K) => number) =>
  Object.fromEntries(names.map((name) => [name, of(name)])) as Record<K, number>

function totalsOf(tensors: readonly StoredTensor[]): TensorTotal[] {
  const totals = new Map<string, TensorTotal>()
  for (const { dtype, bytes } of tensors) {
    const before = totals.get(dtype) ?? { tensors: 0, bytes: 0 }
    totals.set(dtype, { dtype, tensors: before.tensors + 1, bytes: before.bytes + bytes })
  }
  return [...totals.values()].sort((a, b) => b.bytes - a.bytes)
}

async function tokenizerOf(checkpoint: Awaited<ReturnType<typeof openCheckpoint>>) {
  try {
    const found = await checkpoint.tokenizer()
    const [file] = found ? filesOfTokenizer(found).keys() : []
    return found && file !== undefined ? { file, pieces: found.vocabSize } : null
  } catch (error) {
    // What is wrong with it keeps nobody from the rest.
    return { error: (error as Error).message }
  }
}
