// Weights on a backend: drawn at random, or read from a model folder, packed into panels as they
// come. The whole model is never held twice.
import {
  allocate,
  type Backend,
  bufferOf,
  DeviceLostError,
  runOnce,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { copy, randomNormal, randomPanels } from "../../ops/index.ts"
import type { DecoderConfig, DecoderWeights, Parts } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { isQuantized } from "../checkpoints/quantized_format.ts"
import type { OpenedModel } from "../opened.ts"
import { Holder } from "./holder.ts"
import type { Keeping } from "./kept.ts"
import { type Kept, packed, type Spec, specsOf, stored, type WeightDType } from "./layout.ts"
import { loadMatrix, loadPanels, loadVector } from "./reading.ts"

/** Done and total bytes of weights. */
export type Progress = (done: number, total: number) => void

export interface LoadedWeights {
  readonly weights: DecoderWeights
  /** Every weight by its name, in the order of the family's state dict. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** What follows from the config, by name. */
  readonly tables: ReadonlyMap<string, Tensor>
  /** Bytes of all weights on the backend. */
  readonly bytes: number
  /** Writes all values once more, after their memory was lost. */
  refill(): Promise<void>
  free(): void
}

/** Memory of weights, before there are values in it. */
type Outline = Omit<LoadedWeights, "refill">

/** Seeded weights as training starts from; norms are ones, biases zeros. The same numbers on every
 *  backend. */
export function randomWeights(
  config: DecoderConfig,
  backend: Backend,
  dtype: WeightDType,
  seed: number,
  { room, progress }: Filling = {},
): Promise<LoadedWeights> {
  const outline = outlineWeights(config, backend, dtype, room)
  const fill: Fill = async (spec, target) => {
    if (!spec.matrix) {
      const value = spec.kind === "bias" ? 0 : 1
      return backend.write(bufferOf(target), new Float32Array(target.size).fill(value))
    }
    const [N, K] = spec.shape as [number, number]
    const draw = { N, K, Seed: seed, Stream: spec.index, std: spec.std }
    const sizes = { P: target.shape[0] as number, Halves: spec.halves }
    const w = isQuantized(dtype)
      ? packed(randomNormal(draw), spec.halves, dtype, 0).w
      : randomPanels({ ...draw, ...sizes, dtype })
    await runOnce(backend, [[target, w]])
  }
  const fillAll = (progress?: Progress) => fillWeights(config, backend, outline, progress, fill)
  return filled(outline, fillAll(progress), fillAll)
}

/** The weights of an open model, each matrix in the form in which it is to be kept.
 *  Throws RangeError naming the tensor that holds NaN or infinity. */
export function loadWeights(
  folder: OpenedModel,
  backend: Backend,
  kept: Kept | Keeping["of"],
  { room, progress }: Filling = {},
): Promise<LoadedWeights> {
  const keptOf = typeof kept === "function" ? kept : () => kept
  const outline = outlineWeights(folder.config, backend, keptOf, room)
  const fillFrom = (open: OpenedModel, progress?: Progress): Promise<void> =>
    fillWeights(open.config, backend, outline, progress, async (spec, target) => {
      const source = open.source(spec.name)
      if (!spec.matrix) return loadVector(source, spec, target, backend)
      if (open.format) return loadPanels(source, spec, target, backend)
      return loadMatrix(source, spec, target, backend, keptOf(spec))
    })
  const refill = async (): Promise<void> => {
    const open = await folder.reopen()
    await fillFrom(open).finally(() => open.close())
  }
  return filled(outline, fillFrom(folder, progress), refill)
}

type Fill = (spec: Spec, target: Tensor) => Promise<void>

/** How weights come into memory. */
interface Filling {
  /** Tensors of f32 for which to leave room beside each weight; default none. */
  readonly room?: number | undefined
  readonly progress?: Progress | undefined
}

/** The memory of a model's weights, without values: all of it first, so that a model that does not
 *  fit says so at once. */
export function outlineWeights(
  config: DecoderConfig,
  backend: Backend,
  kept: Kept | Keeping["of"],
  room = 0,
): Outline {
  const held = new Holder(backend)
  const spare = new Holder(backend)
  try {
    const family = architectureOf(config)
    const tables = new Map(
      Object.entries(family.tables(config)).map(([name, { shape }]) => [
        name,
        held.allocate(shape),
      ]),
    )
    const tensors = new Map<string, Tensor>()
    for (const spec of specsOf(config)) {
      const { shape, dtype } = stored(spec, typeof kept === "function" ? kept(spec) : kept)
      const near = room > 0 ? placeFor(shape, 1 + room, backend) : undefined
      const weight = held.allocate(shape, dtype, near)
      tensors.set(spec.name, weight)
      for (let i = 0; i < room; i++) spare.allocate(shape, "f32", weight)
    }
    const weights = family.assemble(config, partsOf(config, tensors, tables))
    return { weights, tensors, tables, bytes: held.bytes, free: () => held.free() }
  } catch (error) {
    held.free()
    throw error
  } finally {
    spare.free()
  }
}

/** The same weights in memory of their own, which stay as they are when those are trained. */
export async function copyWeights(
  config: DecoderConfig,
  backend: Backend,
  { tensors, tables }: Pick<Outline, "tensors" | "tables">,
): Promise<LoadedWeights> {
  const held = new Holder(backend)
  const updates: Update[] = []
  const copied = (all: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
    new Map(
      [...all].map(([name, tensor]) => {
        const own = held.allocate(tensor.shape, tensor.dtype)
        updates.push([own, copy(tensor)])
        return [name, own]
      }),
    )
  try {
    const [own, others] = [copied(tensors), copied(tables)]
    await runOnce(backend, updates)
    const weights = architectureOf(config).assemble(config, partsOf(config, own, others))
    const refill = () =>
      Promise.reject(new DeviceLostError("the device was lost, and a copy with it"))
    return {
      weights,
      tensors: own,
      tables: others,
      bytes: held.bytes,
      refill,
      free: () => held.free(),
    }
  } catch (error) {
    held.free()
    throw error
  }
}

/** A tensor, freed already, where `count` of a shape fit side by side. */
function placeFor(shape: readonly number[], count: number, backend: Backend): Tensor {
  const place = allocate(backend, [count, ...shape])
  bufferOf(place).free()
  return place
}

async function filled(
  outline: Outline,
  filling: Promise<void>,
  refill: () => Promise<void>,
): Promise<LoadedWeights> {
  try {
    await filling
    return { ...outline, refill }
  } catch (error) {
    outline.free()
    throw error
  }
}

async function fillWeights(
  config: DecoderConfig,
  backend: Backend,
  { tensors, tables, bytes }: Outline,
  progress: Progress | undefined,
  fill: Fill,
): Promise<void> {
  for (const [name, { values }] of Object.entries(architectureOf(config).tables(config))) {
    backend.write(bufferOf(tables.get(name) as Tensor), values())
  }
  let done = 0
  for (const spec of specsOf(config)) {
    const target = tensors.get(spec.name) as Tensor
    await fill(spec, target)
    done += target.bytes
    progress?.(done, bytes)
  }
}

/** Matrices with their sizes, vectors and tables by name. Throws RangeError for names there are not. */
function partsOf(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Tensor>,
  tables: ReadonlyMap<string, Tensor>,
): Parts {
  const shapes = new Map(specsOf(config).map(({ name, shape }) => [name, shape]))
  const get = (all: ReadonlyMap<string, Tensor>, name: string): Tensor => {
    const found = all.get(name)
    if (found) return found
    throw new RangeError(`${config.modelType}: no weight ${name} in its list of weights or tables`)
  }
  return {
    linear(name) {
      const weight = get(tensors, name)
      const [N, K] = shapes.get(name) as readonly [number, number]
      return { weight, inputs: K, outputs: N }
    },
    vector: (name) => get(tensors, name),
    table: (name) => get(tables, name),
  }
}
