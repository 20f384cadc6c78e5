// What ranks keep parts of, made whole tensor by tensor while a checkpoint is written: all gather, and the first
// one reads.
import { runOnce, type Tensor } from "../../engine/index.ts"
import {
  copyAdapter,
  Holder,
  type LanguageModel,
  type Lent,
  randomModel,
  type TensorData,
  type Tokenizer,
} from "../../model/index.ts"
import { copy } from "../../ops/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import { gatherParts } from "../parallel/gather.ts"
import { Staging } from "../parallel/staging.ts"
import { sharedWeights } from "../parallel/weights.ts"
import type { TrainStep } from "../step/step.ts"
import type { Parameter } from "../step/update.ts"

/** A tensor of a parameter, such as a moment, of which `own` is what this rank has: that, or lent whole. */
export function wholeOf(
  step: TrainStep,
  { weight, index, owned }: Parameter,
  own: Tensor,
): Tensor | Lent {
  if (!owned) return own
  const { model, settings } = step
  const held = new Holder(model.backend)
  const staging = stagings.get(step) ?? new Staging()
  stagings.set(step, staging)
  return {
    async lend() {
      const whole = held.allocate(weight.shape, own.dtype, weight)
      const parts = ownedParts(whole, index, settings.ranks.size)
      const { backend } = model
      await gatherParts([{ whole, parts, own }], { backend, ranks: settings.ranks, staging })
      return whole
    },
    giveBack: () => held.free(),
  }
}

/** Of steps: what is made whole, one tensor after another, goes through the same memory. */
const stagings = new WeakMap<TrainStep, Staging>()

/** The weights of a model by name: those that are there, or lent whole. */
export function lentWeights({ model, settings }: TrainStep): ReadonlyMap<string, Tensor | Lent> {
  if (settings.shard !== "full") return model.tensors
  const weights = sharedWeights(model)
  const lent = (name: string): Lent => ({ lend: () => weights.whole(name), giveBack() {} })
  return new Map([...model.tensors.keys()].map((name) => [name, lent(name)]))
}

/** What `work` gives with a model of whole weights, and the step's adapter beside them: the step's own, or, where no
 *  rank keeps them whole, one that the first rank has meanwhile; others help to fill it, and give undefined. */
export function withWholeModel<T>(
  step: TrainStep,
  tokenizer: Tokenizer,
  work: (model: LanguageModel) => Promise<T>,
): Promise<T | undefined> {
  const { model, settings } = step
  if (settings.shard !== "full") return work(model)
  const weights = sharedWeights(model)
  const { config, backend, dtype, capacity, tensors: like } = model
  const { ranks, adapter } = settings
  return step.still(async () => {
    if (ranks.rank > 0) {
      for (const name of like.keys()) await weights.whole(name)
      return undefined
    }
    const fill = async (name: string, target: Tensor): Promise<void> =>
      runOnce(backend, [[target, copy(await weights.whole(name))]])
    const options = { backend, dtype, capacity, tokenizer }
    const whole = await randomModel(config, options, { fill, like })
    try {
      if (adapter) await copyAdapter(adapter, model, whole)
      return await work(whole)
    } finally {
      await whole.close()
    }
  })
}

/** Takes part in making whole what the first rank writes, in its order. */
export async function accompany(tensors: ReadonlyMap<string, TensorData>): Promise<void> {
  for (const { data } of tensors.values()) {
    // What is made whole is so when the first rows come.
    for await (const _ of data as AsyncIterable<ArrayBufferView>) break
  }
}
