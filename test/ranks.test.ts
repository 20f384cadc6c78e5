// Ranks in memory: what they give each other, and that steps which they share are, to the bit, those of one
// process with as many micro-batches.
import t from "tap"
import { open } from "../backends/index.ts"
import { type Backend, bufferOf, readBound, Tensor } from "../engine/index.ts"
import { OpenELM, scaledConfig } from "../model/index.ts"
import { ranksInMemory, type StepResult, TrainStep } from "../train/index.ts"
import { type Communicator, gatherTexts, patient } from "../train/parallel/communicator.ts"
import { checkSameParameters } from "../train/run/ranks.ts"
import { wholeOf } from "../train/run/whole.ts"
import type { TrainOptions } from "../train/step/options.ts"
import { hasMaster } from "../train/step/update.ts"
import { noWholeWebgpu } from "./backends.ts"

const wasm = await open("wasm", { threads: 1 })
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
})

// The embedding is more than what one rank sums of it.
const config = scaledConfig({
  ...{ layers: 2, modelDim: 32, headDim: 8, vocabSize: 4200, ffnDivisor: 19, maxContext: 8 },
  ...{ queryHeadsPerKeyHead: 1, paddingIndex: 0 },
})
const updates = 2

/** Row b of update u: of its 7 targets some count, another number in each. */
const row = (u: number, b: number, by: number, counted = 7): number[] =>
  Array.from({ length: 7 }, (_, i) => (i < counted ? 1 + ((u * 997 + b * 355 + i * by) % 4199) : 0))
const inputs = (u: number, b: number) => row(u, b, 31)
const targets = (u: number, b: number) => row(u, b, 57, [7, 2, 5, 1, 6][b % 5])

/** Updates of a model by one rank; what they leave, and said. */
async function trained(
  dtype: "f32" | "bf16",
  options: TrainOptions & { accumulation: number },
  backend: Backend = wasm,
) {
  const model = await OpenELM.random(config, { backend, dtype, seed: 5 })
  const step = await TrainStep.create(model, { ignoreIndex: 0, clip: 0.5, ...options })
  const { rank, size } = options.ranks ?? { rank: 0, size: 1 }
  const own = Array.from({ length: options.accumulation }, (_, i) => i).filter(
    (i) => i % size === rank,
  )
  const said: unknown[] = []
  for (let u = 0; u < updates; u++) {
    const [x, y] = [inputs, targets].map((rows) => own.map((b) => rows(u, b)))
    said.push(await step.run(x as number[][], y as number[][], { lr: 1e-2 }))
  }
  const bytes: Buffer[] = []
  for (const p of step.parameters) {
    const { weight, master, state, owned } = p
    for (const tensor of [owned?.weight ?? weight, master, ...state]) {
      const whole = wholeOf(step, p, tensor)
      const read = await readBound(whole instanceof Tensor ? whole : await whole.lend(), backend)
      const { buffer, byteOffset, byteLength } = read
      bytes.push(Buffer.from(buffer.slice(byteOffset, byteOffset + byteLength)))
      if (!(whole instanceof Tensor)) whole.giveBack()
    }
  }
  const { flops } = step
  const stateBytes = step.parameters
    .flatMap(({ weight, master, state }) => (hasMaster(weight) ? [...state, master] : state))
    .reduce((sum, { bytes }) => sum + bytes, 0)
  await step.close()
  await model.close()
  return { said, bytes: Buffer.concat(bytes), flops, stateBytes }
}

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
      const options = { accumulation, accumulate, shard: "state" } as const
      const sharded = await Promise.all(
        ranksInMemory(size).map((ranks) => trained(dtype, { ...options, ranks })),
      )
      for (const [rank, each] of sharded.entries()) {
        const name = `rank ${rank} of ${size} with its part of the state`
        t.ok(each.bytes.equals(whole.bytes), name)
        t.same(each.said, whole.said, name)
      }
      // Of all together it is that of one, but for the place of what a rank has nothing of.
      const all = sharded.reduce((sum, { stateBytes }) => sum + stateBytes, 0)
      t.ok(all < 1.01 * whole.stateBytes, `${sharded.map((x) => x.stateBytes)} bytes`)
      t.equal(shared[0]?.stateBytes, whole.stateBytes)
    }
  })
}

t.test("two ranks on webgpu too", { skip: noWholeWebgpu }, async (t) => {
  await using backend = await open("webgpu")
  const whole = await trained("f32", { accumulation: 2 }, backend)
  const shared = await Promise.all(
    ranksInMemory(2).map((ranks) => trained("f32", { accumulation: 2, ranks }, backend)),
  )
  for (const each of shared) t.ok(each.bytes.equals(whole.bytes))
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
