// Folders of OpenELM for onnxruntime: model.onnx with the graph, model.onnx.data with its tensors, and the
// files of the Hugging Face layout beside them. In q8 and q4 the matrices are blocks of MatMulNBits, and the
// rows of the embedding are f32.
import { fromNode } from "../../../engine/node.ts"
import { ropeAngles, ropeFrequencies } from "../../../ops/index.ts"
import type { ModelConfig } from "../../architectures/openelm/config.ts"
import { configJson } from "../../config.ts"
import {
  folderAtomically,
  type WritableFile,
  writeAtomically,
  writeFileWhole,
} from "../../files/atomic.ts"
import { type External, modelBytes, type TensorType } from "../onnx/encode.ts"
import { blockSize, blocksOf, openelmGraph, tableNames } from "../onnx/openelm.ts"
import { blocksFrom } from "../onnx/quantize.ts"
import { writeAll } from "../safetensors.ts"
import {
  type CheckpointWriter,
  filesBeside,
  type PublishedTensor,
  publishedOf,
  type WriteRequest,
} from "../writer.ts"

const dataFile = "model.onnx.data"
const bits = { f32: undefined, q8: 8, q4: 4 } as const

export const onnx: CheckpointWriter = {
  name: "onnx",
  writes: "a folder of onnxruntime",
  dtypes: ["f32", "q8", "q4"],
  async write(request) {
    const { model, path, dtype } = request
    if (model.config.modelType !== "openelm") {
      throw new RangeError(
        `ONNX is written for openelm alone, ${model.name} is ${model.config.modelType}`,
      )
    }
    const files = await filesBeside(request)
    const config = model.config as ModelConfig
    const { weights, ...graph } = openelmGraph(config, bits[dtype as keyof typeof bits])
    await folderAtomically(path, async (folder) => {
      const { join } = fromNode("node:path")
      const externals: External[] = []
      await writeAtomically(join(folder, dataFile), async (file) => {
        const data = new Data(file, externals)
        await writeTables(data, config)
        await writeWeights(data, request, weights)
      })
      const bytes = modelBytes({ name: config.name, ...graph, externals }, dataFile)
      await writeFileWhole(join(folder, "model.onnx"), bytes)
      for (const [name, content] of files) await writeFileWhole(join(folder, name), content)
      const json = new TextEncoder().encode(`${JSON.stringify(configJson(config), null, 2)}\n`)
      await writeFileWhole(join(folder, "config.json"), json)
    })
  },
}

/** Where tensors begin in the file beside: a page, so that they can be mapped. */
const alignment = 4096

/** The file beside, tensor by tensor. */
class Data {
  readonly #file: WritableFile
  readonly #externals: External[]
  #at = 0

  constructor(file: WritableFile, externals: External[]) {
    this.#file = file
    this.#externals = externals
  }

  async write(
    name: string,
    type: TensorType,
    shape: readonly number[],
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<void> {
    const gap = -this.#at & (alignment - 1)
    if (gap > 0) await writeAll(this.#file, new Uint8Array(gap))
    const offset = this.#at + gap
    let bytes = 0
    for await (const piece of pieces) {
      await writeAll(this.#file, piece)
      bytes += piece.length
    }
    this.#externals.push({ name, type, shape, offset, bytes })
    this.#at = offset + bytes
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

async function writeTables(data: Data, config: ModelConfig): Promise<void> {
  const { maxContext, headDim, ropeBase } = config
  const half = headDim / 2
  const angles = ropeAngles(maxContext, ropeFrequencies(headDim, ropeBase))
  for (const [i, name] of [tableNames.cosines, tableNames.sines].entries()) {
    const table = new Float32Array(maxContext * half)
    for (let p = 0; p < maxContext; p++) {
      const from = (2 * p + i) * half
      table.set(angles.subarray(from, from + half), p * half)
    }
    await data.write(name, "f32", [maxContext, half], [bytesOf(table)])
  }
}

async function writeWeights(
  data: Data,
  request: WriteRequest,
  weights: ReturnType<typeof openelmGraph>["weights"],
): Promise<void> {
  const tensors = new Map(publishedOf(request).map((tensor) => [tensor.name, tensor]))
  const inBlocks = bits[request.dtype as keyof typeof bits]
  const written = new Set<string>()
  for (const { name, form } of weights) {
    const tensor = tensors.get(name) as PublishedTensor
    const key = form === "product" && inBlocks ? blocksOf(name).numbers : name
    // The table of the vocabulary is the head too.
    if (written.has(key)) continue
    written.add(key)
    if (form === "product" && inBlocks) await writeBlocks(data, tensor, inBlocks)
    else await data.write(name, "f32", tensor.shape, finite(tensor))
  }
}

async function* finite({ name, values }: PublishedTensor): AsyncGenerator<Uint8Array> {
  for await (const piece of values()) {
    checkFinite(name, piece)
    yield bytesOf(piece)
  }
}

function checkFinite(name: string, values: Float32Array): void {
  if (values.every(Number.isFinite)) return
  throw new RangeError(`${name} has numbers that are NaN or infinite. Nothing was written`)
}

async function writeBlocks(data: Data, tensor: PublishedTensor, inBlocks: 4 | 8): Promise<void> {
  const [N = 0, K = 0] = tensor.shape
  const { numbers, scales } = blocksOf(tensor.name)
  const count = Math.ceil(K / blockSize)
  const allScales = new Float32Array(N * count)
  let done = 0
  const pieces = async function* () {
    for await (const piece of rowsOf(tensor, K)) {
      checkFinite(tensor.name, piece)
      const blocks = blocksFrom(piece, K, inBlocks)
      allScales.set(blocks.scales, done)
      done += blocks.scales.length
      yield blocks.numbers
    }
  }
  await data.write(numbers, "u8", [N, count, (blockSize * inBlocks) / 8], pieces())
  await data.write(scales, "f32", [N * count], [bytesOf(allScales)])
}

/** A tensor's numbers in pieces of whole rows. */
async function* rowsOf({ values }: PublishedTensor, K: number): AsyncGenerator<Float32Array> {
  let rest = new Float32Array()
  for await (const piece of values()) {
    const all = rest.length > 0 ? joined(rest, piece) : piece
    const whole = all.length - (all.length % K)
    if (whole > 0) yield all.subarray(0, whole)
    rest = all.slice(whole)
  }
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
