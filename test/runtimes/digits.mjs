// What a runtime computes, as one line of JSON: a load, a generation that is aborted, ten training
// steps, a graph of one's own. Plain JavaScript on the built package, for Node, Deno and Bun.
import {
  constant,
  createTrainStep,
  grad,
  OpenELM,
  open,
  ops,
  read,
  shippedModel,
} from "../../dist/index.js"

const threads = Number(process.env.ELM_TEST_THREADS ?? 2)
const name = process.env.ELM_TEST_BACKEND ?? "wasm"
const backend = await open(
  name,
  name === "wasm" ? { threads, simd: process.env.ELM_TEST_SIMD } : {},
)
const result = {}

{
  const model = await OpenELM.load(await shippedModel(), { backend })
  let text = ""
  for await (const token of model.generate("It is a truth", { maxNewTokens: 12 }))
    text += token.text
  result.text = text
  const control = new AbortController()
  const ids = []
  try {
    const options = { maxNewTokens: 50, temperature: 0.8, seed: 7, signal: control.signal }
    for await (const { id } of model.generate("She said", options)) {
      ids.push(id)
      if (ids.length === 5) control.abort()
    }
  } catch (error) {
    result.aborted = error.name
  }
  result.ids = ids
  await model.close()
}

{
  const { scaledConfig } = await import("../../dist/index.js")
  const sizes = {
    layers: 2,
    modelDim: 48,
    headDim: 16,
    vocabSize: 77,
    ffnDivisor: 16,
    maxContext: 24,
  }
  const model = await OpenELM.random(scaledConfig(sizes), { backend, seed: 3, tokenizer: null })
  const step = await createTrainStep(model, { weightDecay: 0.1, clip: 1, zLoss: 1e-4 })
  const rows = [0, 1, 2].map((n) => Array.from({ length: 17 }, (_, i) => (i * 13 + n * 5) % 77))
  result.losses = []
  for (let i = 0; i < 10; i++) {
    const inputs = rows.map((row) => row.slice(0, -1))
    const targets = rows.map((row) => row.slice(1))
    const { loss, gradNorm } = await step(inputs, targets, { lr: 3e-3 })
    result.losses.push(loss, gradNorm)
  }
  const logits = await model.logits([rows[0].slice(0, 9)])
  result.logits = [...logits.subarray(0, 20)]
  await step.close()
  await model.close()
}

{
  const x = constant([1, 2, 3, -4, 0.5, 6], [1, 6])
  const { y } = ops.rmsNorm(x, constant([1, 0.5, 2, 1, 3, -1], [6]), { eps: 1e-6 })
  const [dx] = grad(ops.sum(ops.mul(y, ops.mul(y, y))), [x])
  result.gradient = [...(await read(dx, backend))]
}

result.build = backend.build
await backend.close()
console.log(JSON.stringify(result))
