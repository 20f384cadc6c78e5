// What a rank keeps of each parameter where ranks keep their state apart: the sum of its part of the gradient,
// whose whole lies in memory that layers have in turns.
import type { Tensor } from "../../engine/index.ts"
import type { Holder } from "../../model/index.ts"
import { ownedSlice } from "../parallel/buckets.ts"
import { overlay } from "../parallel/overlay.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import { layersOf } from "./graph.ts"
import type { TrainSettings } from "./options.ts"
import type { Trained } from "./trained.ts"
import { type OwnedPart, sliced } from "./update.ts"

/** Makes it, for those weights that move; `weights` has them where they are not kept whole. */
export function ownedBy(
  { ranks, trainable }: Pick<TrainSettings, "ranks" | "trainable">,
  { decoder, tensors }: Pick<Trained, "decoder" | "tensors">,
  held: Holder,
  weights: ShardedWeights | undefined,
): (weight: Tensor, index: number) => OwnedPart {
  const moving = new Set([...tensors].flatMap(([name, x]) => (trainable(name) ? [x] : [])))
  const layers = layersOf(decoder).map((layer) => layer.filter((x) => moving.has(x)))
  const places = overlay(
    layers.map((layer) => layer.map(({ shape }) => ({ shape, dtype: "f32" }))),
    held,
  )
  const gradients = new Map(layers.flat().map((weight, i) => [weight, places.flat()[i] as Tensor]))
  return (weight, index) => {
    const { at, size } = ownedSlice(weight, index, ranks)
    return {
      at,
      size,
      weight: weights?.partOf(weight) ?? sliced(weight, { at, size }),
      gradient: gradients.get(weight) ?? held.allocate(weight.shape, "f32", weight),
      sum: held.allocate([Math.max(1, size)], "f32", weight),
    }
  }
}
