// Adapters beside weights of which each rank keeps a part alone: to the bit what one process does, beside weights of any
// dtype and family; what a rank then takes.

import { open } from "../backends/index.ts"
import { webgpuKernels } from "../backends/webgpu/index.ts"
import { PaperBackend } from "../bench/measure/outline.ts"
import {
  type AdapterOptions,
  addAdapter,
  configOf,
  loadModel,
  randomModel,
} from "../model/index.ts"
import {
  createPreferenceStep,
  type PreferencePair,
  type PreferenceStepOptions,
  ranksInMemory,
  TrainStep,
} from "../train/index.ts"
import { alone, type Communicator } from "../train/parallel/communicator.ts"
import { noWholeWebgpu } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import { config, keptBy, totalOf, trained, wasm, withModel } from "./ranked.ts"
import t from "./tap.ts"

t.teardown(() => wasm.close())

// What stands beside the table has more numbers than one rank has of it.
const targets = ["token_embeddings", "qkv_proj", "proj_1"]
const lora: AdapterOptions = { kind: "lora", rank: 20, targets }
const dora: AdapterOptions = { kind: "dora", rank: 3, dropout: 0.2, seed: 3 }
const cases = [
  ["f32", 4, lora, { clip: 0.01 }],
  ["f32", 2, dora, { checkpointActivations: true }],
  ["bf16", 4, dora, { accumulation: 8 }],
  ["f16", 2, lora, { trainable: (name: string) => !name.includes("layers.0.") }],
  ["q8", 2, dora, {}],
  ["q4", 4, lora, { checkpointActivations: true }],
] as const
for (const [dtype, size, beside, more] of cases) {
  t.test(`${size} ranks with ${beside.kind} beside ${dtype}`, async (t) => {
    const options = { accumulation: size, beside, ...more }
    const whole = await trained(dtype, options)
    for (const shard of ["full", "state"] as const) {
      const shared = await Promise.all(
        ranksInMemory(size).map((ranks) => trained(dtype, { ...options, ranks, shard })),
      )
      for (const [rank, each] of shared.entries()) {
        t.ok(each.bytes.equals(whole.bytes), `${shard}: rank ${rank}`)
        t.same([each.said, each.evaluation], [whole.said, whole.evaluation], shard)
      }
      const all = shared.reduce((sum, { stateBytes }) => sum + stateBytes, 0)
      t.ok(all < 1.1 * whole.stateBytes, `${shard}: ${all} of ${whole.stateBytes}`)
    }
  })
}

t.test("two ranks on webgpu too", { skip: noWholeWebgpu }, async (t) => {
  await using backend = await open("webgpu")
  for (const [dtype, beside] of [["q8", dora] as const, ["f16", lora] as const]) {
    const options = { accumulation: 2, beside }
    const whole = await trained(dtype, options, backend)
    const shared = await Promise.all(
      ranksInMemory(2).map((ranks) =>
        trained(dtype, { ...options, ranks, shard: "full" }, backend),
      ),
    )
    for (const each of shared) t.ok(each.bytes.equals(whole.bytes), dtype)
  }
})

/** Two updates beside a model in a folder, by one rank. */
const updatesBeside = (folder: string, ranks: Communicator): Promise<unknown[]> =>
  withModel(
    (placement) => loadModel(folder, { backend: wasm }, placement),
    ranks,
    async (model) => {
      const adapter = await addAdapter(model, { kind: "dora", rank: 2 })
      const options = { adapter, ranks, accumulation: 2, shard: "full" } as const
      const step = await TrainStep.create(model, options)
      const all = [
        [1, 5, 9, 13, 7],
        [2, 6, 10, 14, 3],
      ]
      const rows = all.filter((_, i) => i % ranks.size === ranks.rank)
      const said: unknown[] = []
      try {
        for (let i = 0; i < 2; i++) said.push(await step.run(rows, rows, { lr: 1e-2 }))
      } finally {
        await step.close()
      }
      return said
    },
  )

t.test("beside other families, whose files have apart what is fused here", async (t) => {
  for (const name of ["olmo-hf", "opt-350m", "pythia"]) {
    const folder = fixture(`models/${name}`)
    const one = await updatesBeside(folder, alone)
    const two = await Promise.all(ranksInMemory(2).map((ranks) => updatesBeside(folder, ranks)))
    t.same(two, [one, one], name)
  }
  // All layers of this one have a network together.
  const folder = fixture("models/mobillama")
  const found = ranksInMemory(2).map((ranks) => updatesBeside(folder, ranks))
  const message = /^shard "full": parts of this model use weights of layers .* Use "state"$/
  for (const each of found) await t.rejects(each, { name: "RangeError", message })
})

t.test("what a rank of four takes of what one process does", async (t) => {
  const beside = { rank: 8, targets: ["qkv_proj"] }
  const paper = () => new PaperBackend("webgpu", webgpuKernels)
  const one = totalOf((await keptBy(configOf("1.1B"), alone, paper(), { beside })).bytes)
  for (const rank of [0, 1, 2, 3]) {
    const { bytes } = await keptBy(configOf("1.1B"), { ...alone, rank, size: 4 }, paper(), {
      beside,
    })
    const part = totalOf(bytes) / one
    t.ok(part <= 0.4, `rank ${rank}: ${part.toFixed(3)} of ${one}: ${JSON.stringify(bytes)}`)
  }
  // What is counted is what is allocated.
  const used = () => wasm.usedBytes
  for (const rank of [0, 1, 2, 3]) {
    const { bytes, used: inUse } = await keptBy(config, { ...alone, rank, size: 4 }, wasm, {
      used,
      beside,
    })
    const counted = totalOf(bytes) - bytes.underWay
    t.ok(Math.abs(inUse / counted - 1) < 0.05, `${inUse} bytes in use, ${counted} counted`)
  }
})

const pair = (i: number): PreferencePair => {
  const labelled = (ids: readonly number[]) => ({ ids, labels: ids })
  return { chosen: labelled([1, 2 + i, 3, 4]), rejected: labelled([1, 2 + i, 9]) }
}
/** What a step of preferences says of an update by one rank. */
const preferred = (ranks: Communicator, more: PreferenceStepOptions, beside?: AdapterOptions) =>
  withModel(
    (placement) => randomModel(config, { backend: wasm, seed: 5 }, placement),
    ranks,
    async (model) => {
      const adapter = beside && (await addAdapter(model, beside))
      const options = { ranks, accumulation: 2, ...(adapter && { adapter }), ...more }
      const step = await createPreferenceStep(model, options)
      const said: unknown[] = []
      for (let i = 0; i < 2; i++) said.push(await step([[pair(0)], [pair(1)]], { lr: 1e-2 }))
      await step.close()
      return said
    },
  )

t.test("preferences relative to weights that no rank has whole", async (t) => {
  const one = await preferred(alone, {}, dora)
  const two = ranksInMemory(2).map((ranks) => preferred(ranks, { shard: "full" }, dora))
  t.same(await Promise.all(two), [one, one])
  const message =
    /^shard "full" has no room for a copy of the weights as they were\. Give reference "given"/
  const refused = ranksInMemory(2).map((ranks) => preferred(ranks, { shard: "full" }))
  for (const each of refused) await t.rejects(each, { name: "RangeError", message })
})
