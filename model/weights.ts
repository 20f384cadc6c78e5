// Weights on a backend: drawn at random, or read from a model folder, packed into panels as they
// come. The whole model is never held twice.
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  type DType,
  decode,
  itemBytes,
  readBound,
  runOnce,
  sizeOf,
  type Tensor,
  viewOf,
} from "../engine/index.ts"
import {
  blockBytes,
  blocksOf,
  pack,
  panelsOf,
  panelWidth,
  quantise,
  randomNormal,
  randomPanels,
  ropeAngles,
  ropeFrequencies,
} from "../ops/index.ts"
import { type ModelConfig, tensorShapes } from "./config.ts"
import type { ModelFolder, TensorSource } from "./folder.ts"
import type { LayerWeights, Weights } from "./forward.ts"
import { Holder } from "./holder.ts"

/** How weight matrices are kept: numbers of a dtype, or blocks of 8 or 4 bits with their scales. */
export type WeightDType = "f32" | "f16" | "bf16" | "q8" | "q4"
export const weightDTypes: readonly WeightDType[] = ["f32", "f16", "bf16", "q8", "q4"]

type Quantised = keyof typeof blockBytes
const isQuantised = (dtype: WeightDType): dtype is Quantised => Object.hasOwn(blockBytes, dtype)

/** Done and total bytes of weights. */
export type Progress = (done: number, total: number) => void

export interface LoadedWeights {
  readonly weights: Weights
  /** Bytes of all weights on the backend. */
  readonly bytes: number
  free(): void
}

/** Bytes of staging for weights on their way from a file into panels. */
const stagingBytes = 16 << 20

interface Spec {
  readonly name: string
  readonly shape: readonly number[]
  readonly index: number
  /** Parts whose panels alternate: 2 for the gate and value rows of proj_1. */
  readonly halves: number
  readonly matrix: boolean
}

function specsOf(config: ModelConfig): Spec[] {
  return [...tensorShapes(config)].map(([name, { shape, kind }], index) => ({
    name,
    shape,
    index,
    halves: kind === "gated" ? 2 : 1,
    matrix: kind !== "vector",
  }))
}

/** Shape and dtype on the backend: panels for a matrix, as it is for a vector. */
function stored(spec: Spec, dtype: WeightDType): { shape: number[]; dtype: DType } {
  const { shape, halves, matrix } = spec
  if (!matrix) return { shape: [...shape], dtype: "f32" }
  const [N, K] = shape as [number, number]
  const P = panelsOf(N, halves)
  if (!isQuantised(dtype)) return { shape: [P, K, panelWidth], dtype }
  return { shape: [P, blocksOf(K), blockBytes[dtype]], dtype: "u8" }
}

/** A matrix of rows in the form in which `dtype` keeps it, and its numbers that are not finite.
 *  Search 1 looks for q4's best scales, which takes seven times as long.
 *  x (N, K) → panels, (P) */
function packed(
  x: Tensor,
  halves: number,
  dtype: WeightDType,
  Search: 0 | 1,
): { w: Tensor; bad: Tensor } {
  const [N, K] = x.shape as [number, number]
  const P = panelsOf(N, halves)
  if (!isQuantised(dtype)) return pack(x, { P, Halves: halves, dtype })
  const Z = blockBytes[dtype]
  return quantise(x, { P, C: blocksOf(K), Z, Halves: halves, Search })
}

/** Bytes of a model's weights in a dtype; vectors and angles are always f32. */
export function weightBytes(config: ModelConfig, dtype: WeightDType): number {
  return specsOf(config).reduce(
    (sum, spec) => {
      const { shape, dtype: kept } = stored(spec, dtype)
      return sum + sizeOf(shape) * itemBytes(kept)
    },
    4 * config.maxContext * config.headDim,
  )
}

/** Standard deviation of each matrix at the start of training: 1/√in, and for the two projections
 *  that write to the residual stream 1/√(D·2L). */
function initialStd({ name, shape }: Spec, config: ModelConfig): number {
  const residual = name.endsWith("out_proj.weight") || name.endsWith("proj_2.weight")
  return residual ? (config.modelDim * 2 * config.layers) ** -0.5 : (shape[1] as number) ** -0.5
}

/** Seeded weights as training starts from; norms are ones. The same numbers on every backend. */
export function randomWeights(
  config: ModelConfig,
  backend: Backend,
  dtype: WeightDType,
  seed: number,
  progress?: Progress,
): Promise<LoadedWeights> {
  return fillWeights(config, backend, dtype, progress, async (spec, target) => {
    if (!spec.matrix) return backend.write(bufferOf(target), new Float32Array(target.size).fill(1))
    const [N, K] = spec.shape as [number, number]
    const draw = { N, K, Seed: seed, Stream: spec.index, std: initialStd(spec, config) }
    const sizes = { P: target.shape[0] as number, Halves: spec.halves }
    const w = isQuantised(dtype)
      ? packed(randomNormal(draw), spec.halves, dtype, 0).w
      : randomPanels({ ...draw, ...sizes, dtype })
    await runOnce(backend, [[target, w]])
  })
}

/** The weights of an open folder. Throws RangeError naming the tensor that holds NaN or infinity. */
export function loadWeights(
  folder: ModelFolder,
  backend: Backend,
  dtype: WeightDType,
  progress?: Progress,
): Promise<LoadedWeights> {
  return fillWeights(folder.config, backend, dtype, progress, (spec, target) => {
    const source = folder.source(spec.name)
    return spec.matrix
      ? loadMatrix(source, spec, target, backend, dtype)
      : loadVector(source, spec, target, backend)
  })
}

type Fill = (spec: Spec, target: Tensor) => Promise<void>

/** The memory of a model's weights, without values. */
export function outlineWeights(
  config: ModelConfig,
  backend: Backend,
  dtype: WeightDType,
): LoadedWeights & { readonly tensors: ReadonlyMap<string, Tensor> } {
  const held = new Holder(backend)
  try {
    const angles = held.allocate([config.maxContext, config.headDim])
    const frequencies = ropeFrequencies(config.headDim, config.ropeBase)
    backend.write(bufferOf(angles), ropeAngles(config.maxContext, frequencies))
    const tensors = new Map([["angles", angles]])
    for (const spec of specsOf(config)) {
      const { shape, dtype: kept } = stored(spec, dtype)
      tensors.set(spec.name, held.allocate(shape, kept))
    }
    const weights = assemble(config, tensors)
    return { weights, tensors, bytes: weightBytes(config, dtype), free: () => held.free() }
  } catch (error) {
    held.free()
    throw error
  }
}

async function fillWeights(
  config: ModelConfig,
  backend: Backend,
  dtype: WeightDType,
  progress: Progress | undefined,
  fill: Fill,
): Promise<LoadedWeights> {
  // All memory first, so that a model that does not fit says so at once.
  const outline = outlineWeights(config, backend, dtype)
  let done = 0
  try {
    for (const spec of specsOf(config)) {
      const target = outline.tensors.get(spec.name) as Tensor
      await fill(spec, target)
      done += target.bytes
      progress?.(done, outline.bytes)
    }
    return outline
  } catch (error) {
    outline.free()
    throw error
  }
}

function assemble(config: ModelConfig, tensors: ReadonlyMap<string, Tensor>): Weights {
  const get = (name: string): Tensor => tensors.get(name) as Tensor
  const layers = Array.from({ length: config.layers }, (_, i): LayerWeights => {
    const at = (name: string): Tensor => get(`layers.${i}.${name}.weight`)
    return {
      attnNorm: at("attn_norm"),
      qkv: at("attn.qkv_proj"),
      qNorm: at("attn.q_norm"),
      kNorm: at("attn.k_norm"),
      out: at("attn.out_proj"),
      ffnNorm: at("ffn_norm"),
      proj1: at("ffn.proj_1"),
      proj2: at("ffn.proj_2"),
    }
  })
  const embedding = get("token_embeddings.weight")
  return { embedding, layers, norm: get("norm.weight"), angles: get("angles") }
}

const dtypeOf = { F32: "f32", F16: "f16", BF16: "bf16" } as const

async function loadVector(
  source: TensorSource,
  spec: Spec,
  target: Tensor,
  backend: Backend,
): Promise<void> {
  const [D] = spec.shape as [number]
  const dtype = dtypeOf[source.dtype]
  const raw = new Uint8Array(D * itemBytes(dtype))
  source.readRows(0, D, raw)
  const values = decode(dtype, viewOf(dtype, raw.buffer))
  const bad = values.filter((x) => !Number.isFinite(x)).length
  if (bad > 0) throw notFinite(spec.name, bad, D, dtype)
  backend.write(bufferOf(target), Float32Array.from(values))
}

/** Rows go through a staging buffer, whole panels at a time, and are packed on the backend. */
async function loadMatrix(
  source: TensorSource,
  spec: Spec,
  target: Tensor,
  backend: Backend,
  kept: WeightDType,
): Promise<void> {
  const [N, K] = spec.shape as [number, number]
  const { halves } = spec
  const dtype = dtypeOf[source.dtype]
  const rowBytes = K * itemBytes(dtype)
  const half = N / halves
  const most = Math.max(1, Math.floor(stagingBytes / (rowBytes * panelWidth * halves))) * panelWidth
  const bytes = Math.min(half, most) * halves * rowBytes
  const staging = backend.alloc(bytes, dtype, bufferOf(target))
  const raw = new Uint8Array(staging.bytes)
  try {
    for (let start = 0; start < half; start += most) {
      const count = Math.min(most, half - start)
      for (let h = 0; h < halves; h++) {
        const at = h * count * rowBytes
        source.readRows(h * half + start, count, raw.subarray(at, at + count * rowBytes))
      }
      backend.write(staging, raw.subarray(0, halves * count * rowBytes))
      const x = bound(staging, [halves * count, K], dtype)
      await packInto(backend, x, target, (start / panelWidth) * halves, spec, kept)
    }
  } finally {
    staging.free()
  }
}

/** Packs rows into the target's panels from `firstPanel` on. */
async function packInto(
  backend: Backend,
  x: Tensor,
  target: Tensor,
  firstPanel: number,
  spec: Spec,
  kept: WeightDType,
) {
  const { w, bad } = packed(x, spec.halves, kept, 1)
  const panelBytes = w.bytes / (w.shape[0] as number)
  const part = bound(bufferOf(target), w.shape, w.dtype, firstPanel * panelBytes)
  const counts = allocate(backend, bad.shape)
  try {
    await runOnce(backend, [
      [part, w],
      [counts, bad],
    ])
    const total = Array.from(await readBound(counts, backend)).reduce((a, b) => a + b, 0)
    if (total > 0) throw notFinite(spec.name, total, sizeOf(spec.shape), kept)
  } finally {
    bufferOf(counts).free()
  }
}

const notFinite = (name: string, count: number, total: number, dtype: string): Error =>
  new RangeError(
    `${name}: ${count} of its ${total} numbers are NaN or infinite in ${dtype}. ` +
      "The file is damaged, or the dtype too narrow: try f32",
  )
