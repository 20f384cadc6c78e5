// Ranks that keep parts of the weights alone: what each takes, all that goes with it, and runs that begin so and go
// on otherwise.
import { readFileSync, writeFileSync } from "node:fs"
import { setImmediate } from "node:timers/promises"
import { open } from "../backends/index.ts"
import { openWasm } from "../backends/wasm/index.ts"
import { webgpuKernels } from "../backends/webgpu/index.ts"
import { PaperBackend } from "../bench/measure/outline.ts"
import type { Prepared } from "../engine/index.ts"
import { configOf, randomModel, scaledConfig } from "../model/index.ts"
import { ranksInMemory, type Settings, TrainStep, train } from "../train/index.ts"
import { alone, type Communicator } from "../train/parallel/communicator.ts"
import { sharedModel } from "../train/parallel/weights.ts"
import type { TrainOptions } from "../train/step/options.ts"
import { config, inputs, keptBy, targets, totalOf, trained, wasm } from "./ranked.ts"
import { at } from "./runs.ts"
import t from "./tap.ts"

t.teardown(() => wasm.close())

t.test("a rank of four takes 0.35 of what one process does, at most", async (t) => {
  // 270M in bf16, all that layers have in turns and all that is under way counted: on paper.
  const paper = () => new PaperBackend("webgpu", webgpuKernels)
  const one = totalOf((await keptBy(configOf("270M"), alone, paper())).bytes)
  t.equal(Math.round(one / 2 ** 20), 4661)
  for (const rank of [0, 1, 2, 3]) {
    const { bytes } = await keptBy(configOf("270M"), { ...alone, rank, size: 4 }, paper())
    const part = totalOf(bytes) / one
    t.ok(part <= 0.35, `rank ${rank}: ${part.toFixed(3)} of ${one}: ${JSON.stringify(bytes)}`)
  }
  // And a smaller model, deep as large ones are, in memory: what is counted is what is allocated.
  const deep = scaledConfig({
    ...{ layers: 24, modelDim: 128, headDim: 32, vocabSize: 512, maxContext: 8 },
  })
  const used = () => wasm.usedBytes
  const whole = await keptBy(deep, alone, wasm, { used })
  for (const rank of [0, 1, 2, 3]) {
    const { bytes, used: inUse } = await keptBy(deep, { ...alone, rank, size: 4 }, wasm, { used })
    const counted = totalOf(bytes) - bytes.underWay
    t.ok(Math.abs(inUse / counted - 1) < 0.01, `${inUse} bytes in use, ${counted} counted`)
    t.ok((inUse + bytes.underWay) / whole.used <= 0.35, `${inUse} of ${whole.used}`)
  }
})

t.test(
  "with checkpointed activations, frozen weights and shards that count the same",
  async (t) => {
    const options: TrainOptions & { readonly accumulation: number } = {
      ...{ accumulation: 4, checkpointActivations: true, shards: 4 },
      meanOver: "shards",
      trainable: (name) => !/layers\.0|attn_norm/.test(name),
    }
    const whole = await trained("bf16", options)
    const shared = await Promise.all(
      ranksInMemory(4).map((ranks) => trained("bf16", { ...options, ranks, shard: "full" })),
    )
    for (const each of shared) {
      t.ok(each.bytes.equals(whole.bytes))
      t.same([each.said, each.evaluation], [whole.said, whole.evaluation])
    }
  },
)

/** How many stages of plans one of two ranks runs, and during how many something is on its way to or from it. */
async function overlapped(shard: "none" | "full") {
  let [underWay, stages, overlaps] = [0, 0, 0]
  const watched = ({ run, close }: Prepared): Prepared => ({
    close,
    run(stage) {
      stages += Number(stage !== undefined)
      overlaps += Number(stage !== undefined && underWay > 0)
      return run(stage)
    },
  })
  await using backend = await open("wasm", { threads: 1 })
  const prepare = backend.prepare.bind(backend)
  backend.prepare = (plan) => watched(prepare(plan))
  const runs = ranksInMemory(2).map((given) => {
    const during = (call: Promise<void>): Promise<void> => {
      if (given.rank > 0) return call
      underWay++
      // As that of a thread, the answer is heard in a turn of its own.
      return call.then(() => setImmediate()).finally(() => underWay--)
    }
    const ranks: Communicator = {
      ...given,
      exchange: (...all) => during(given.exchange(...all)),
      allGather: (...all) => during(given.allGather(...all)),
    }
    const options = { ranks, accumulation: 2, shard }
    return trained("f32", options, given.rank === 0 ? backend : wasm)
  })
  await Promise.all(runs)
  return { stages, overlaps }
}

t.test("layers are computed while others' gradients, or weights, are on their way", async (t) => {
  // Two updates, of 7 stages with 2 layers. Gradients are on their way while what follows each layer's is computed.
  t.match(await overlapped("none"), { stages: 14, overlaps: 2 * 2 })
  // Weights are while the first layer, the second, and the second's backward are, and in the evaluation, of two times
  // 4 stages, while three layers are: of the second layer there is no need to come again.
  t.match(await overlapped("full"), { stages: 22, overlaps: 2 * 3 + 3 })
})

t.test("weights in several memories", async (t) => {
  await using backend = await openWasm({ threads: 1, instanceBytes: 8 << 20 })
  const shared = await Promise.all(
    ranksInMemory(2).map((ranks) =>
      trained("f32", { ranks, accumulation: 2, shard: "full" }, backend),
    ),
  )
  const whole = await trained("f32", { accumulation: 2 })
  for (const each of shared) t.ok(each.bytes.equals(whole.bytes))
  t.ok(backend.instanceCount > 1, `${backend.instanceCount} memories`)
})

t.test("an evaluation that is one rank's alone", async (t) => {
  const found = await Promise.all(
    ranksInMemory(2).map(async (ranks) => {
      const model = await sharedModel(ranks, (home) =>
        randomModel(config, { backend: wasm, seed: 5 }, { home }),
      )
      const step = await TrainStep.create(model, { ranks, accumulation: 2, shard: "full" })
      await step.run([inputs(0, ranks.rank)], [targets(0, ranks.rank)], { lr: 1e-2 })
      const rows = [inputs(1, 0), inputs(1, 1)]
      const evaluated = ranks.rank === 0 ? step.evaluate(rows, rows) : step.accompany()
      const result = await evaluated
      await step.close()
      await model.close()
      return result
    }),
  )
  t.match(found, [{ ce: Number, count: 14 }, undefined])
})

t.test("what cannot be shared out is refused", async (t) => {
  const model = await randomModel(config, { backend: wasm, seed: 5 })
  const [ranks] = ranksInMemory(2) as [Communicator, Communicator]
  const create = (shard: unknown) =>
    TrainStep.create(model, { ranks, accumulation: 2, shard: shard as "full" })
  const message = /^shard "full" takes a model whose weights were never whole on a rank/
  await t.rejects(create("full"), { name: "RangeError", message })
  await t.rejects(create("half"), {
    message: 'shard must be "none" or "state" or "full", got "half"',
  })
  await model.close()
})

const text = Array.from({ length: 400 }, (_, i) => `line ${i} of ${(i * 7919) % 1009} words`)
writeFileSync(at("text.txt"), text.join("\n"))
const asked: Partial<Settings> = {
  ...{ data: at("text.txt"), tokenizer: "byte", layers: 2, dim: 32, headDim: 16 },
  ...{ sequenceLength: 32, batchSize: 4, accumulation: 4, warmupSteps: 1, validation: 0.2 },
  ...{ evalEvery: 2, evalBatches: 3, sampleEvery: 2, sampleTokens: 8, saveEvery: 1, keep: 9 },
  ...{ logEvery: 1, steps: 4 },
  dtype: "bf16",
}

/** A run of so many ranks; the metrics of the first. */
async function ran(size: number, more: Partial<Settings>, resume?: string): Promise<unknown[]> {
  const metrics: unknown[] = []
  const ranks = size > 1 ? ranksInMemory(size) : [alone]
  const runs = ranks.map((each) =>
    train(
      { ...asked, ...more },
      {
        ...{ backend: wasm, ranks: each, ...(resume && { resume }) },
        onMetrics(given) {
          const { tokens_per_second: _, ...line } = { tokens_per_second: 0, ...given }
          if (each.rank === 0) metrics.push(line)
        },
      },
    ),
  )
  await Promise.all(runs)
  return metrics
}

const files = (run: string, step = "step-00000004") =>
  ["model.safetensors", "optimizer.safetensors"].map((name) => readFileSync(at(run, step, name)))

t.test("runs begin with one way to share and go on with another, to the bit", async (t) => {
  const whole = await ran(1, { out: at("whole") })
  t.same(await ran(4, { out: at("full"), shard: "full" }), whole)
  t.same(files("full"), files("whole"))
  const from = (run: string, step: number) => at(run, `step-0000000${step}`)
  const two = await ran(2, { out: at("two"), shard: "state" }, from("full", 1))
  t.same(two, whole.slice(-two.length))
  const three = await ran(2, { out: at("three"), shard: "full" }, from("two", 2))
  t.same(three, whole.slice(-three.length))
  const one = await ran(1, { out: at("one"), shard: "full" }, from("three", 3))
  t.same(one, whole.slice(-one.length))
  for (const run of ["two", "three", "one"]) t.same(files(run), files("whole"), run)
})
