// Predictions of training on several nodes: their formulas, memory as the trainer has it, and the command.

import { open } from "../backends/index.ts"
import { trainingOnPaper } from "../bench/scaling/paper.ts"
import { type Network, type Node, updateTime } from "../bench/scaling/predict.ts"
import { configOf, randomModel, scaledConfig } from "../model/index.ts"
import { ranksInMemory, TrainStep } from "../train/index.ts"
import { sharedModel } from "../train/parallel/weights.ts"
import type { Sharding } from "../train/step/options.ts"
import { mpirun, noOpenMpi, ofOpenMpi } from "./launchers.ts"
import { run } from "./runs.ts"
import t, { type Test } from "./tap.ts"

// A forward pass of 1 s, a backward of 2 s; an update that takes 1 s of one, and gradients of 4e6 bytes.
const task = {
  ...{ parameters: 1e6, weightBytes: 2e6, layers: 8, flops: 3e9, tokens: 100, rounds: 2 },
}
const node: Node = {
  ...{ flopsPerSecond: 1e9, forwardPart: 1 / 3, movedPerSecond: 1e6 },
  ...{ summedPerSecond: 4e6, gatheredPerSecond: 1e6 },
}
const network: Network = { latency: 0, bandwidth: 1e6 }
const close = (t: Test, found: number, want: number, name: string): void => {
  t.ok(Math.abs(found - want) < 1e-9 * Math.max(1, want), `${name}: ${found}, expected ${want}`)
}

t.test("an update is what is computed, copied and carried", (t) => {
  const of = (size: number, shard: Sharding, over: Partial<Network> = {}) =>
    updateTime(task, node, { ...network, ...over }, { size, shard })
  const one = of(1, "none")
  t.match(one, { forward: 2, backward: 4, update: 1, copying: 0, network: 0, bytes: 0, total: 7 })
  // Of 4 ranks each sends 3/4 of the gradients in each round, and of the sums in the end: 3 s each, of which the
  // backward pass hides 2 but for the tenth that comes last.
  const four = of(4, "none")
  close(t, four.bytes, 3 * 3e6, "bytes")
  close(t, four.carried, 9, "carried")
  close(t, four.network, 2 * (1 + 0.3) + 3, "network")
  close(t, four.copying, 2 + 4, "copying")
  close(t, four.total, 7 + four.network + 6, "total")
  // The weights, half as many bytes, in place of the sums; each moves its quarter.
  const state = of(4, "state")
  close(t, state.update, 0.25, "update")
  close(t, state.bytes, 2 * 3e6 + 1.5e6, "bytes with state apart")
  close(t, state.network, 2 * 1.3 + 1.5, "network with state apart")
  // They come twice in each round, hidden behind the passes as far as these go, and nothing comes in the end.
  const full = of(4, "full")
  close(t, full.bytes, 2 * (3e6 + 2 * 1.5e6), "bytes with all apart")
  close(t, full.network, 2 * (0.5 + 3), "network with all apart")
  const calls = of(4, "none", { latency: 1, bandwidth: Number.POSITIVE_INFINITY })
  close(t, calls.carried, 2 * 10 + 1, "a call for each layer, and what is outside of them")
  t.end()
})

const config = scaledConfig({
  ...{ layers: 3, modelDim: 64, headDim: 16, vocabSize: 4200, ffnDivisor: 32, maxContext: 32 },
  ...{ queryHeadsPerKeyHead: 1 },
})
for (const dtype of ["f32", "bf16"] as const) {
  t.test(`memory and operations in ${dtype} are those of the trainer`, async (t) => {
    await using backend = await open("wasm", { threads: 1 })
    const [B, T] = [2, 16]
    const outlined = { config, dtype, B, T, checkpointActivations: false }
    const paper = await trainingOnPaper(outlined, backend)
    for (const [size, shard] of [
      [1, "none"],
      [3, "none"],
      [3, "state"],
      [3, "full"],
    ] as const) {
      const found = await Promise.all(
        (size > 1 ? ranksInMemory(size) : [undefined]).map(async (ranks) => {
          const made = (placement = {}) =>
            randomModel(config, { backend, dtype, seed: 1 }, placement)
          const isFull = ranks && shard === "full"
          const model = await (isFull ? sharedModel(ranks, (home) => made({ home })) : made())
          const options = { ...(ranks && { ranks }), accumulation: size, shard: shard }
          const step = await TrainStep.create(model, options)
          const rows = [1, 2].map((id) => new Int32Array(T).fill(id))
          await step.run(rows, rows, { lr: 1e-3 })
          const { activationBytes, flops } = step
          const stateBytes = model.weightBytes + step.optimizerBytes
          const underWayBytes = step.stateBytes.underWay
          await step.close()
          await model.close()
          return { stateBytes, underWayBytes, activationBytes, flops }
        }),
      )
      const [{ flops, ...first } = { flops: 0 }] = found
      t.same(await paper.memoryOf({ size, shard }), first, `${size} ranks, ${shard}`)
      t.equal(paper.flops, flops)
    }
    await paper.close()
  })
}

t.test("what is shard apart is what a rank does not keep", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const outlined = { config: configOf("1.1B"), B: 1, T: 16, checkpointActivations: false }
  const paper = await trainingOnPaper({ ...outlined, dtype: "f32" }, backend)
  const of = async (size: number, shard: Sharding) =>
    (await paper.memoryOf({ size, shard })).stateBytes
  const one = await of(1, "none")
  t.equal(one, 16 * paper.parameters + (paper.weightBytes - 4 * paper.parameters))
  const ofSums = (await of(4, "none")) - one
  t.ok(Math.abs(ofSums / paper.parameters - 1) < 1e-2, "a quarter of the sums, too")
  const [state, full] = [await of(4, "state"), await of(4, "full")]
  t.ok(state < 0.65 * one, `${state / one}`)
  t.ok(full < 0.35 * one, `${full / one}`)
  await paper.close()
})

const small = ["--measure", "tiny", "--repeat", "1"]

t.test("the command predicts, and says so", async (t) => {
  const how = ["--model", "270M", "--nodes", "1,4", "--positions", "64", "--bandwidth", "8"]
  const { code, stdout, stderr } = await run(["bench", "scale", ...small, ...how])
  t.equal(code, 0, stderr)
  t.match(stdout, /^prediction/)
  t.match(stdout, /network: 1\.00 GB\/s each way, 50\.0 µs a call/)
  const result = JSON.parse(stdout.trimEnd().split("\n").at(-1) as string)
  t.match(result, { schema: "elm-bench-scale/1", isPrediction: true, network: { bandwidth: 1e9 } })
  const rows = result.rows.map((row: { nodes: number; shard: string }) => [row.nodes, row.shard])
  t.same(rows, [
    [1, "none"],
    [4, "none"],
    [4, "state"],
    [4, "full"],
  ])
  const refused = await run(["bench", "scale", "--ranks", "1,2"])
  t.match(refused.stderr, /--ranks has no effect without --check/)
})

t.test(
  "ranks measure what joins them; checked runs take what is predicted",
  { skip: noOpenMpi },
  async (t) => {
    const how = ["--model", "270M", "--nodes", "2", "--positions", "64"]
    const two = await mpirun(ofOpenMpi, 2, ["bench", "scale", ...small, ...how, "--json"])
    t.equal(two.code, 0, two.stderr)
    const { found, network, rows } = JSON.parse(two.stdout)
    t.same(network, found, "what they measured")
    t.equal(rows.length, 3)
    const checked = await run(["bench", "scale", "--check", ...small, "--ranks", "1,2", "--json"])
    t.equal(checked.code, 0, checked.stderr)
    const all = JSON.parse(checked.stdout).rows
    t.same(
      all.map(({ size, shard }: { size: number; shard: string }) => [size, shard]),
      [
        [1, "none"],
        [2, "none"],
        [2, "state"],
        [2, "full"],
      ],
    )
    for (const row of all) t.equal(row.predictedStateBytes, row.stateBytes)
  },
)
