// What training minimizes: an objective of one's own, over pairs of sequences, and rows in blocks.

import { bufferOf, constant, readTensors, type Tensor, uniformAt } from "../engine/index.ts"
import {
  createTrainStep,
  lossAndGradients,
  type Objective,
  OpenELM,
  objectives,
  open,
} from "../index.ts"
import { scaledConfig } from "../model/index.ts"
import { add, affine, exp, log, reshape, slice, sub, sum } from "../ops/index.ts"
import { relativeError } from "./backends.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

/** Row 0 shall be likelier than row 1: log(1 + exp(Σ nll₀ − Σ nll₁)), and a little of nll₀. */
const preferred: Objective = {
  name: "preferred",
  terms: ["pair", "own"],
  rowwise: false,
  labelSmoothing: 0,
  loss({ nll }, { B, T }) {
    const rows = reshape(nll, [B, T])
    const [chosen, rejected] = [0, 1].map((b) => sum(slice(rows, 0, b, 1))) as [Tensor, Tensor]
    const pair = log(add(exp(reshape(sub(chosen, rejected), [1])), constant([1], [1])))
    return { pair, own: affine(reshape(chosen, [1]), 0.1, 0) }
  },
}
const inputs = [
  [1, 5, 9, 13],
  [2, 6, 10, 14],
]
const targets = [
  [5, 9, 13, 17],
  [6, 10, 14, 18],
]

t.test("an objective over pairs has the gradients of finite differences, and falls", async (t) => {
  await using backend = await open("js")
  await using model = await OpenELM.random(config, { backend, seed: 3 })
  const options = { objective: preferred }
  const { gradients } = await lossAndGradients(model, inputs, targets, options)
  for (const name of ["norm.weight", "layers.1.ffn_norm.weight", "layers.0.attn.q_norm.weight"]) {
    const tensor = model.tensors.get(name) as Tensor
    const [before] = (await readTensors([tensor], backend)) as [Float32Array]
    const direction = (i: number) => 2 * uniformAt(4, i, 0, 0) - 1
    const h = 1e-3
    const losses: number[] = []
    for (const step of [h, -h]) {
      backend.write(
        bufferOf(tensor),
        before.map((x, i) => x + step * direction(i)),
      )
      losses.push((await lossAndGradients(model, inputs, targets, options)).loss)
    }
    backend.write(bufferOf(tensor), before)
    const slope = ((losses[0] as number) - (losses[1] as number)) / (2 * h)
    const wanted = Array.from(gradients[name] ?? []).reduce((s, g, i) => s + g * direction(i), 0)
    t.ok(Math.abs(slope - wanted) < 2e-3 * (1 + Math.abs(wanted)), `${name}: ${slope}, ${wanted}`)
  }
  const step = await createTrainStep(model, options)
  const found = [1, 2, 3].map(() => () => step(inputs, targets, { lr: 0.01 }))
  const results = []
  for (const next of found) results.push(await next())
  const [first, , last] = results
  t.ok((last?.loss ?? 9) < (first?.loss ?? 0), `${first?.loss} to ${last?.loss}`)
  const { pair = 0, own = 0 } = first?.terms ?? {}
  t.ok(Math.abs(pair + own - (first?.loss ?? 0)) < 1e-5, "terms by name")
  await step.close()
})

t.test(
  "rows in blocks give one loss and gradient, whether they may come apart or not",
  async (t) => {
    const wide = scaledConfig({
      ...{ layers: 1, modelDim: 32, headDim: 16, vocabSize: 20000, maxContext: 512 },
      ...{ queryHeadsPerKeyHead: 1, ffnDivisor: 16 },
    })
    await using backend = await open("wasm", { threads: 2 })
    await using model = await OpenELM.random(wide, { backend, seed: 3 })
    const rows = (seed: number) =>
      [0, 1, 2].map((b) =>
        Array.from({ length: 300 }, (_, i) => Math.floor(uniformAt(seed, b, 0, i) * 20000)),
      )
    const [x, y] = [rows(1), rows(2)]
    const byRows = objectives.crossEntropy({ zLoss: 1e-2, labelSmoothing: 0.1 })
    const together = { ...byRows, rowwise: false }
    const want = await lossAndGradients(model, x, y, { objective: byRows })
    const got = await lossAndGradients(model, x, y, { objective: together })
    t.ok(relativeError([got.loss, got.ce, got.z], [want.loss, want.ce, want.z]) < 1e-6)
    for (const [name, values] of Object.entries(want.gradients)) {
      const error = relativeError(got.gradients[name] ?? [], values)
      t.ok(error < 1e-6, `${name} is off by ${error.toExponential(1)}`)
    }
  },
)

t.test("what is no objective says what is expected", async (t) => {
  await using backend = await open("js")
  await using model = await OpenELM.random(config, { backend })
  const wrong = { objective: "dpo" } as never
  await t.rejects(createTrainStep(model, wrong), {
    message: /objective must be what objectives makes/,
  })
})
