// Weights on a backend: drawn at random, or read from a model folder, packed into panels as they
// come. The whole model is never held twice.
import {
  allocate,
  type Backend,
  bufferOf,
  DeviceLostError,
  type DType,
  offsetOf,
  runOnce,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { copy, randomNormal, randomPanels } from "../../ops/index.ts"
import type { DecoderConfig, DecoderWeights } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { isQuantized } from "../checkpoints/quantized_format.ts"
import type { OpenedModel } from "../opened.ts"
import { Holder } from "./holder.ts"
import type { Keeping } from "./kept.ts"
import { type Kept, packed, type Spec, specsOf, stored, type WeightDType } from "./layout.ts"
import { loadMatrix, loadPanels, loadVector } from "./reading.ts"
import { partsOf } from "./units.ts"

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
  /** A weight in its place, whole until another is asked for. */
  whole(name: string): Promise<Tensor>
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
  filling: Filling = {},
): Promise<LoadedWeights> {
  const outline = outlineWeights(config, backend, dtype, filling)
  const fill: Fill = async (spec, target) => {
    if (!spec.matrix) {
      const value = spec.kind === "bias" ? 0 : 1
      const values = new Float32Array(target.size).fill(value)
      return backend.write(bufferOf(target), values, offsetOf(target))
    }
    const [N, K] = spec.shape as [number, number]
    const draw = { N, K, Seed: seed, Stream: spec.index, std: spec.std }
    const sizes = { P: target.shape[0] as number, Halves: spec.halves }
    const w = isQuantized(dtype)
      ? packed(randomNormal(draw), spec.halves, dtype, 0).w
      : randomPanels({ ...draw, ...sizes, dtype })
    await runOnce(backend, [[target, w]])
  }
  const fillAll = (how?: Filling) => fillWeights(config, backend, outline, how, fill)
  return filled(outline, fillAll(filling), fillAll)
}

/** Weights that `fill` puts into memory one by one, which do not come back where that is lost. */
export function weightsFrom(
  config: DecoderConfig,
  backend: Backend,
  dtype: WeightDType,
  fill: (name: string, target: Tensor) => Promise<void>,
  filling: Filling = {},
): Promise<LoadedWeights> {
  const outline = outlineWeights(config, backend, dtype, filling)
  const all = fillWeights(config, backend, outline, filling, ({ name }, target) =>
    fill(name, target),
  )
  return filled(outline, all, refuseRefill)
}

const refuseRefill = (): Promise<never> =>
  Promise.reject(new DeviceLostError("the device was lost, and a copy with it"))

/** The weights of an open model, each matrix in the form in which it is to be kept.
 *  Throws RangeError naming the tensor that holds NaN or infinity. */
export function loadWeights(
  folder: OpenedModel,
  backend: Backend,
  kept: Kept | Keeping["of"],
  filling: Filling = {},
): Promise<LoadedWeights> {
  const keptOf = typeof kept === "function" ? kept : () => kept
  const outline = outlineWeights(folder.config, backend, keptOf, filling)
  const fillFrom = (open: OpenedModel, how?: Filling): Promise<void> =>
    fillWeights(open.config, backend, outline, how, async (spec, target) => {
      const source = open.source(spec.name)
      if (!spec.matrix) return loadVector(source, spec, target, backend)
      if (open.format) return loadPanels(source, spec, target, backend)
      return loadMatrix(source, spec, target, backend, keptOf(spec))
    })
  const refill = async (): Promise<void> => {
    const open = await folder.reopen()
    await fillFrom(open).finally(() => open.close())
  }
  return filled(outline, fillFrom(folder, filling), refill)
}

type Fill = (spec: Spec, target: Tensor) => Promise<void>

/** How weights come into memory. */
interface Filling {
  /** Tensors of f32 for which to leave room beside each weight; default none. */
  readonly room?: number | undefined
  readonly home?: WeightHome | undefined
  /** Weights of which these have shapes and dtypes; default as `kept` says. */
  readonly like?: ReadonlyMap<string, Tensor> | undefined
  readonly progress?: Progress | undefined
}

/** A weight as it lies on a backend. */
export interface WeightLayout {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** Where weights are kept by somebody who does not keep them whole. */
export interface WeightHome {
  /** A place for each weight, which others have in turns with it. */
  place(
    config: DecoderConfig,
    weights: readonly WeightLayout[],
    held: Holder,
  ): ReadonlyMap<string, Tensor>
  /** Takes what has been put into a weight's place, before another comes there. */
  take(name: string, backend: Backend): Promise<void>
  /** A weight in its place, whole until another is asked for. */
  whole(name: string): Promise<Tensor>
}

/** The memory of a model's weights, without values: all of it first, so that a model that does not
 *  fit says so at once. */
export function outlineWeights(
  config: DecoderConfig,
  backend: Backend,
  kept: Kept | Keeping["of"],
  { room = 0, home, like }: Pick<Filling, "room" | "home" | "like"> = {},
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
    const layouts = specsOf(config).map((spec): WeightLayout => {
      const own = like?.get(spec.name)
      const { shape, dtype } = own ?? stored(spec, typeof kept === "function" ? kept(spec) : kept)
      return { name: spec.name, shape, dtype }
    })
    const allocated = ({ name, shape, dtype }: WeightLayout): [string, Tensor] => {
      const near = room > 0 ? placeFor(shape, 1 + room, backend) : undefined
      const weight = held.allocate(shape, dtype, near)
      for (let i = 0; i < room; i++) spare.allocate(shape, "f32", weight)
      return [name, weight]
    }
    const tensors = home?.place(config, layouts, held) ?? new Map(layouts.map(allocated))
    const weights = family.assemble(config, partsOf(config, tensors, tables))
    const whole = home ? (name: string) => home.whole(name) : wholeIn(tensors)
    return { weights, tensors, tables, bytes: held.bytes, whole, free: () => held.free() }
  } catch (error) {
    held.free()
    throw error
  } finally {
    spare.free()
  }
}

const wholeIn =
  (tensors: ReadonlyMap<string, Tensor>) =>
  async (name: string): Promise<Tensor> =>
    tensors.get(name) as Tensor

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
    return {
      weights,
      tensors: own,
      tables: others,
      bytes: held.bytes,
      whole: wholeIn(own),
      refill: refuseRefill,
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
  { home, progress }: Filling | undefined = {},
  fill: Fill,
): Promise<void> {
  for (const [name, { values }] of Object.entries(architectureOf(config).tables(config))) {
    backend.write(bufferOf(tables.get(name) as Tensor), values())
  }
  let done = 0
  for (const spec of specsOf(config)) {
    const target = tensors.get(spec.name) as Tensor
    await fill(spec, target)
    await home?.take(spec.name, backend)
    done += target.bytes
    progress?.(done, bytes)
  }
}
