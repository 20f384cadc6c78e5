// Folders that mlx-lm reads: the Hugging Face layout, in 8 or 4 bits with groups of 64. A group's scale and
// bias put the end of it that is farther from 0, and 0, on whole numbers.
import { encode } from "../../../engine/index.ts"
import { architectureOf } from "../../architectures/index.ts"
import { listedMultipliers } from "../../architectures/openelm/config.ts"
import { configJson } from "../../config.ts"
import { folderAtomically } from "../../files/atomic.ts"
import type { OpenedModel } from "../../opened.ts"
import { weightDTypes } from "../../weights/layout.ts"
import { fileDTypes, type PlainDType } from "../header.ts"
import { isQuantized } from "../quantized_format.ts"
import type { TensorData } from "../safetensors.ts"
import { onlyFinite, writeFolder } from "../saving.ts"
import {
  type CheckpointWriter,
  filesBeside,
  type PublishedTensor,
  plainTensor,
  publishedOf,
} from "../writer.ts"

const groupSize = 64
const bitsOf = { q8: 8, q4: 4 } as const

export const mlx: CheckpointWriter = {
  name: "mlx",
  writes: "a folder of MLX",
  dtypes: weightDTypes,
  async write(request) {
    const { model, path, dtype } = request
    const bits = isQuantized(dtype) ? bitsOf[dtype] : undefined
    const plain = isQuantized(dtype) ? besideGroups(model) : dtype
    const { prefix = "" } = architectureOf(model.config)
    const tensors = new Map<string, TensorData>()
    for (const tensor of publishedOf(request)) {
      const name = `${prefix}${tensor.name}`
      const isGrouped = tensor.spec.matrix && (tensor.shape[1] as number) % groupSize === 0
      if (bits !== undefined && isGrouped) {
        for (const [each, data] of grouped(name, tensor, bits, plain)) tensors.set(each, data)
      } else tensors.set(name, plainTensor(tensor, plain))
    }
    const quantization = bits && { group_size: groupSize, bits, mode: "affine" }
    const config = {
      ...configJson(model.config),
      ...listedMultipliers(model.config),
      ...(quantization && { quantization, quantization_config: quantization }),
    }
    const files = await filesBeside(request)
    await folderAtomically(path, (folder) =>
      writeFolder(folder, { config, tensors: onlyFinite(tensors), mark: "mlx", files }),
    )
  },
}

/** Of scales, biases and what has no groups: half precision, of bf16 where the model has that. */
function besideGroups({ config, source }: OpenedModel): PlainDType {
  const [first] = architectureOf(config).weights(config)
  return source(first?.name ?? "").dtype === "bf16" ? "bf16" : "f16"
}

/** A matrix as numbers of few bits, and the scales and biases of its groups, which come with them and are
 *  kept until they are written, after the wider numbers. */
function grouped(
  name: string,
  { shape, values }: PublishedTensor,
  bits: number,
  dtype: PlainDType,
): [string, TensorData][] {
  const [rows = 0, columns = 0] = shape
  const scales: ArrayBufferView[] = []
  const biases: ArrayBufferView[] = []
  const words = async function* () {
    for await (const piece of values()) {
      const made = quantized(piece, bits)
      scales.push(encode(dtype, made.scales))
      biases.push(encode(dtype, made.biases))
      yield made.words
    }
  }
  const path = name.replace(/\.weight$/, "")
  const groups = { dtype: fileDTypes[dtype], shape: [rows, columns / groupSize] }
  const packed = [rows, (columns * bits) / 32]
  return [
    [name, { dtype: "U32", shape: packed, data: words() }],
    [`${path}.scales`, { ...groups, data: taken(scales) }],
    [`${path}.biases`, { ...groups, data: taken(biases) }],
  ]
}

/** What is in a list when it is asked for, which is not kept longer. */
function* taken(list: ArrayBufferView[]): Generator<ArrayBufferView> {
  yield* list.splice(0)
}

const leastScale = 1e-7

/** Groups of numbers: n of few bits each, the first in the lowest, and w ≈ n · scale + bias. */
function quantized(x: Float32Array, bits: number) {
  const most = 2 ** bits - 1
  const each = 8 / bits
  const words = new Uint8Array(x.length / each)
  const scales = new Float32Array(x.length / groupSize)
  const biases = new Float32Array(scales.length)
  for (let group = 0, at = 0; group < scales.length; group++) {
    const from = group * groupSize
    const { scale, bias } = endsOf(x, from, most)
    scales[group] = scale
    biases[group] = bias
    for (let i = from; i < from + groupSize; at++) {
      let byte = 0
      for (let shift = 0; shift < 8; shift += bits, i++) {
        const number = Math.round(((x[i] as number) - bias) / scale)
        byte |= (number < 0 ? 0 : number > most ? most : number) << shift
      }
      words[at] = byte
    }
  }
  return { words, scales, biases }
}

/** Scale and bias of a group: the scale is below 0 where its largest number is the farthest from 0. */
function endsOf(x: Float32Array, from: number, most: number): { scale: number; bias: number } {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let i = from; i < from + groupSize; i++) {
    const value = x[i] as number
    // A scale that is none is refused when it is written.
    if (Number.isNaN(value)) return { scale: value, bias: value }
    if (value < min) min = value
    if (value > max) max = value
  }
  const isLow = Math.abs(min) > Math.abs(max)
  const size = Math.max(Math.fround((max - min) / most), leastScale)
  const scale = isLow ? size : -size
  const end = isLow ? min : max
  const steps = Math.round(end / scale)
  return steps === 0 ? { scale, bias: 0 } : { scale: Math.fround(end / steps), bias: end }
}
