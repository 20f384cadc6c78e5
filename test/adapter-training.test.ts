// Training of adapters beside weights of any dtype: what moves and what stays, against finite differences;
// and dropout.

import { JsBackend } from "../backends/js/index.ts"
import {
  addAdapter,
  type Backend,
  constant,
  createTrainStep,
  LanguageModel,
  lossAndGradients,
  optimizers,
  read,
  type Tensor,
  type TrainOptions,
} from "../index.ts"
import { copyAdapter } from "../model/index.ts"
import { thinnedBy } from "../train/step/dropout.ts"
import { allBackends, relativeError } from "./backends.ts"
import { peftBase } from "./fixtures.ts"
import t from "./tap.ts"

const kinds = ["lora", "dora"] as const
const { path: base, remove } = peftBase()
t.teardown(remove)

t.test("a new adapter changes nothing, and learns beside weights of any dtype", async (t) => {
  const backend = new JsBackend()
  const [inputs, targets] = [[[1, 9, 13, 27, 6, 30, 5, 2]], [[9, 13, 27, 6, 30, 5, 2, 1]]]
  for (const [dtype, ofDtype] of [
    ["f32", kinds],
    ["bf16", ["lora"]],
    ["q8", ["lora"]],
    ["q4", ["dora"]],
  ] as const) {
    for (const kind of ofDtype) {
      const model = await LanguageModel.load(base, { backend, dtype })
      const plain = await model.logits(inputs)
      const frozen = await read(model.tensors.get("layers.0.ffn.proj_1.weight") as Tensor, backend)
      const adapter = await addAdapter(model, { kind, rank: 3, alpha: 6, seed: 5 })
      t.ok(relativeError(await model.logits(inputs), plain) < 1e-6, `${dtype} ${kind}`)
      const options = { adapter, zLoss: 0 }
      const before = await lossAndGradients(model, inputs, targets, options)
      const step = await createTrainStep(model, { ...options, weightDecay: 0 })
      for (let i = 0; i < 3; i++) await step(inputs, targets, { lr: 1e-2 })
      const after = await lossAndGradients(model, inputs, targets, options)
      t.ok(after.loss < before.loss - 0.05, `${dtype} ${kind}: ${before.loss} → ${after.loss}`)
      t.same(
        await read(model.tensors.get("layers.0.ffn.proj_1.weight") as Tensor, backend),
        frozen,
        "weights stay",
      )
      // Along the gradient, against finite differences: of what the weights stand for.
      const square = Object.values(after.gradients).flatMap((g) => [...g])
      const norm = Math.sqrt(square.reduce((sum, x) => sum + x * x, 0))
      const sgd = await createTrainStep(model, {
        ...options,
        optimizer: optimizers.sgd(),
        weightDecay: 0,
        clip: Number.POSITIVE_INFINITY,
      })
      const lr = 1e-5
      await sgd(inputs, targets, { lr })
      const moved = await lossAndGradients(model, inputs, targets, options)
      const slope = (after.loss - moved.loss) / lr
      t.ok(Math.abs(slope / norm ** 2 - 1) < 0.02, `${dtype} ${kind}: slope ${slope}, ${norm ** 2}`)
      await step.close()
      await sgd.close()
      await model.close()
    }
  }
})

t.test(
  "dropout is drawn from the seed and the update alone, and leaves out what it says",
  async (t) => {
    const [inputs, targets] = [[[1, 9, 13, 27, 6, 30, 5, 2]], [[9, 13, 27, 6, 30, 5, 2, 1]]]
    const lossesOn = async (backend: Backend, dropout: number, more: TrainOptions = {}) => {
      const model = await LanguageModel.load(base, { backend })
      const adapter = await addAdapter(model, { kind: "dora", rank: 3, alpha: 9, dropout, seed: 5 })
      const step = await createTrainStep(model, { adapter, weightDecay: 0, ...more })
      const losses: number[] = []
      for (let i = 0; i < 4; i++) losses.push((await step(inputs, targets, { lr: 2e-2 })).loss)
      const { ce } = await step.state.evaluate(inputs, targets)
      const whole = await lossAndGradients(model, inputs, targets, { adapter })
      t.ok(Math.abs(ce - whole.ce) < 1e-5, "an evaluation leaves nothing out")
      await step.close()
      await model.close()
      return losses
    }
    const js = new JsBackend()
    const want = await lossesOn(js, 0.4)
    for (const { label, open } of allBackends.slice(1)) {
      const backend = await open()
      t.ok(relativeError(await lossesOn(backend, 0.4), want) < 2e-5, label)
      backend.close()
    }
    const again = await lossesOn(js, 0.4, { checkpointActivations: true })
    t.ok(relativeError(again, want) < 1e-6, "the same blocks once more")
    const none = await lossesOn(js, 0)
    t.ok(relativeError(none.slice(0, 1), want.slice(0, 1)) < 1e-6, "B begins with zeros")
    t.ok(relativeError(none.slice(1), want.slice(1)) > 1e-4)
    const draws = 4096
    const [seeds, rate, gain] = [
      constant(new Int32Array(draws).fill(7), [draws], "i32"),
      constant([0.4], [1]),
      constant([1 / 0.6], [1]),
    ]
    const ones = constant(new Float32Array(draws * 4).fill(1), [draws, 4])
    const kept = await read(thinnedBy({ seeds, rate, gain })(ones, 3), js)
    const left = kept.filter((x) => x > 0).length / kept.length
    t.ok(Math.abs(left - 0.6) < 0.015, `${left} of all are kept`)
  },
)

t.test("an update makes nothing of an adapter that generation alone takes", async (t) => {
  const backend = new JsBackend()
  const model = await LanguageModel.load(base, { backend })
  const adapter = await addAdapter(model, { kind: "dora", rank: 3, targets: ["qkv_proj"] })
  const step = await createTrainStep(model, { adapter })
  const [inputs, targets] = [[[1, 9, 13]], [[9, 13, 27]]]
  await step(inputs, targets, { lr: 1e-2 })
  let prepared = 0
  const prepare = backend.prepare.bind(backend)
  backend.prepare = (plan) => {
    prepared++
    return prepare(plan)
  }
  await step(inputs, targets, { lr: 1e-2 })
  t.equal(prepared, 0)
  const logits = await model.logits(inputs)
  t.ok(prepared > 1)
  const other = await LanguageModel.load(base, { backend })
  await copyAdapter(adapter, model, other)
  t.ok(relativeError(await other.logits(inputs), logits) < 1e-6, "of the numbers as they are then")
  await step.close()
  await model.close()
  await other.close()
})
