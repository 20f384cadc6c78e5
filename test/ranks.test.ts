// Ranks in memory: what they give each other, and that steps which they share are, to the bit, those of one
// process with as many micro-batches.

import { open } from "../backends/index.ts"
import { bufferOf, readBound } from "../engine/index.ts"
import { OpenELM, randomModel } from "../model/index.ts"
import { ranksInMemory, type StepResult, TrainStep } from "../train/index.ts"
import { type Communicator, gatherTexts, patient } from "../train/parallel/communicator.ts"
import { sharedModel } from "../train/parallel/weights.ts"
import { checkSameParameters } from "../train/run/ranks.ts"
import { noWholeWebgpu } from "./backends.ts"
import { config, inputs, targets, trained, wasm } from "./ranked.ts"
import t from "./tap.ts"

t.teardown(() => wasm.close())

t.test("bytes of unequal parts come to whom they are for", async (t) => {
  const parts = [
    { at: 1, bytes: 2 },
    { at: 3, bytes: 0 },
    { at: 3, bytes: 4 },
  ]
  const found = await Promise.all(
    ranksInMemory(3).map(async (ranks, rank) => {
      const buffer = Uint8Array.from({ length: 8 }, (_, i) => 10 * rank + i)
      const received = new Uint8Array(3 * (parts[rank]?.bytes ?? 0))
      await ranks.exchange(buffer, parts, received)
      await ranks.allGather(buffer, parts)
      return { received: [...received], buffer: [...buffer] }
    }),
  )
  t.same(
    found.map(({ received }) => received),
    [[1, 2, 11, 12, 21, 22], [], [3, 4, 5, 6, 13, 14, 15, 16, 23, 24, 25, 26]],
  )
  t.same(found[1]?.buffer, [10, 1, 2, 23, 24, 25, 26, 17])
  const texts = ranksInMemory(3).map((ranks, i) => gatherTexts(ranks, "äh".repeat(i)))
  t.same(await Promise.all(texts), Array(3).fill(["", "äh", "ähäh"]))
})

t.test("a rank that waits in vain says so", async (t) => {
  const [first] = ranksInMemory(2) as [Communicator, Communicator]
  const text = /^waited 0\.05 s for the others \(all-gather\): one of them hangs$/
  await t.rejects(gatherTexts(patient(first, 50), ""), { message: text })
  const [other] = ranksInMemory(2) as [Communicator, Communicator]
  await t.rejects(patient(other, 50).close(), { message: /the others \(the end\): one/ })
})

for (const dtype of ["f32", "bf16"] as const) {
  t.test(`ranks in ${dtype} are as many micro-batches of one process`, async (t) => {
    for (const [size, accumulation] of [
      [2, 2],
      [3, 3],
      [4, 4],
      [2, 6],
    ] as const) {
      const accumulate = accumulation === 3 ? "sum" : "mean"
      const whole = await trained(dtype, { accumulation, accumulate })
      const shared = await Promise.all(
        ranksInMemory(size).map((ranks) => trained(dtype, { accumulation, accumulate, ranks })),
      )
      for (const [rank, each] of shared.entries()) {
        const name = `rank ${rank} of ${size}, ${accumulation} micro-batches`
        t.ok(each.bytes.equals(whole.bytes), name)
        t.same(each.said, whole.said, name)
      }
      t.equal((shared[0]?.flops ?? 0) * size, whole.flops)
      for (const shard of ["state", "full"] as const) {
        const options = { accumulation, accumulate, shard } as const
        const sharded = await Promise.all(
          ranksInMemory(size).map((ranks) => trained(dtype, { ...options, ranks })),
        )
        for (const [rank, each] of sharded.entries()) {
          const name = `rank ${rank} of ${size} with shard ${shard}`
          t.ok(each.bytes.equals(whole.bytes), name)
          t.same(each.said, whole.said, name)
          t.same(each.evaluation, whole.evaluation, name)
        }
        // Of all together it is that of one, but for the place of what a rank has nothing of.
        const all = sharded.reduce((sum, { stateBytes }) => sum + stateBytes, 0)
        t.ok(all < 1.01 * whole.stateBytes, `${sharded.map((x) => x.stateBytes)} bytes`)
      }
      t.equal(shared[0]?.stateBytes, whole.stateBytes)
    }
  })
}

t.test("two ranks on webgpu too", { skip: noWholeWebgpu }, async (t) => {
  await using backend = await open("webgpu")
  const whole = await trained("f32", { accumulation: 2 }, backend)
  for (const shard of ["none", "full"] as const) {
    const options = { accumulation: 2, shard }
    const shared = await Promise.all(
      ranksInMemory(2).map((ranks) => trained("f32", { ...options, ranks }, backend)),
    )
    for (const each of shared) t.ok(each.bytes.equals(whole.bytes), shard)
  }
})

t.test("shards that count the same: the mean of their means", async (t) => {
  const both = await trained("f32", { accumulation: 2, shards: 2, meanOver: "shards" })
  const each: number[] = []
  for (const b of [0, 1]) {
    const model = await OpenELM.random(config, { backend: wasm, seed: 5 })
    const step = await TrainStep.create(model, { ignoreIndex: 0 })
    each.push((await step.evaluate([inputs(0, b)], [targets(0, b)])).ce)
    await step.close()
    await model.close()
  }
  const { ce } = both.said[0] as StepResult
  t.ok(Math.abs(ce - ((each[0] as number) + (each[1] as number)) / 2) < 1e-5, `${ce} of ${each}`)
  const sums = ["targets", "shards"] as const
  const [own, shared] = await Promise.all(
    sums.map((meanOver) =>
      trained("f32", { accumulation: 4, accumulate: "sum", shards: 4, meanOver }),
    ),
  )
  const normOf = ({ said }: { readonly said: unknown[] }) => (said[0] as StepResult).gradNorm
  const norms = [own, shared].map((x) => normOf(x as NonNullable<typeof x>))
  t.ok(Math.abs((norms[0] as number) / (norms[1] as number) - 4) < 1e-4, "ranks are averaged")
  await t.rejects(
    trained("f32", { accumulation: 3, shards: 2 }),
    /3 parts are no multiple of 2 shards/,
  )
})

t.test("a rank whose parameters differ is named", async (t) => {
  const errors = await Promise.all(
    ranksInMemory(2).map(async (ranks) => {
      const model = await OpenELM.random(config, { backend: wasm, seed: 5 })
      const step = await TrainStep.create(model, { ranks, accumulation: 2 })
      await checkSameParameters(ranks, step)
      const { master } = step.parameters[3] as (typeof step.parameters)[0]
      // One bit of one number.
      if (ranks.rank === 1) {
        const numbers = new Uint32Array((await readBound(master, wasm)).buffer)
        wasm.write(bufferOf(master), Uint32Array.of((numbers[0] as number) ^ 1))
      }
      const error = await checkSameParameters(ranks, step).catch((e: Error) => e.message)
      await step.close()
      await model.close()
      return [error, `after update 0 rank 1 has another ${step.parameters[3]?.name} than rank 0`]
    }),
  )
  for (const [error, want] of errors) t.match(error, want as string)
})

t.test("a rank that is given other weights, or finds another norm, is named", async (t) => {
  const errors = await Promise.all(
    ranksInMemory(2).map(async (given) => {
      let isBroken = false
      const ranks: Communicator = {
        ...given,
        async allGather(buffer, parts) {
          await given.allGather(buffer, parts)
          // One bit of what comes from the other.
          const { at = 0 } = parts[1 - given.rank] ?? {}
          if (isBroken && given.rank === 1) buffer[at] = (buffer[at] ?? 0) ^ 1
        },
      }
      const how = { backend: wasm, seed: 5 }
      const model = await sharedModel(ranks, (home) => randomModel(config, how, { home }))
      const step = await TrainStep.create(model, { ranks, accumulation: 2, shard: "full" })
      const said: unknown[] = []
      const check = async () =>
        said.push(await checkSameParameters(given, step).catch((error: Error) => error.message))
      await check()
      await step.run([inputs(0, ranks.rank)], [targets(0, ranks.rank)], { lr: 1e-2 })
      isBroken = true
      await check()
      isBroken = false
      if (ranks.rank === 1) step.gradNorm *= 2
      await check()
      await step.close()
      await model.close()
      return said
    }),
  )
  for (const [none, weights, norm] of errors) {
    t.equal(none, undefined)
    t.match(weights, /^after update 1 rank 1 has another \S+ than rank 0: one of their machines/)
    t.match(norm, /^after update 1 rank 1 has found a gradient norm of \S+, and rank 0 of \S+: one/)
  }
})
