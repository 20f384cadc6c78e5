// What ranks keep parts of, made whole tensor by tensor while a checkpoint is written: all gather, and the first
// one reads.
import type { Tensor } from "../../engine/index.ts"
import { Holder, type Lent, type TensorData } from "../../model/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import { gatherParts } from "../parallel/gather.ts"
import type { TrainStep } from "../step/step.ts"
import type { Parameter } from "../step/update.ts"

/** A tensor of a parameter, such as a moment, of which `own` is what this rank has: that, or lent whole. */
export function wholeOf(
  { model, settings }: TrainStep,
  { weight, index, owned }: Parameter,
  own: Tensor,
): Tensor | Lent {
  if (!owned) return own
  const held = new Holder(model.backend)
  return {
    async lend() {
      const whole = held.allocate(weight.shape, own.dtype, weight)
      const parts = ownedParts(whole, index, settings.ranks.size)
      await gatherParts([{ whole, parts, own }], model.backend, settings.ranks)
      return whole
    },
    giveBack: () => held.free(),
  }
}

/** Takes part in making whole what the first rank writes, in its order. */
export async function accompany(tensors: ReadonlyMap<string, TensorData>): Promise<void> {
  for (const { data } of tensors.values()) {
    // What is made whole is so when the first rows come.
    for await (const _ of data as AsyncIterable<ArrayBufferView>) break
  }
}
