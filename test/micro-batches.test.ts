// Micro-batches: averaged, they are the one large batch, however many targets each part has; summed,
// as the release has it, each is a mean of its own.

import { type Backend, readTensors, type Tensor } from "../engine/index.ts"
import { OpenELM, scaledConfig } from "../model/index.ts"
import { createTrainStep, lossAndGradients, type TrainOptions } from "../train/index.ts"
import { allBackends, noWholeWebgpu, relativeError } from "./backends.ts"
import t from "./tap.ts"

if (noWholeWebgpu) t.test("micro-batches on webgpu", { skip: noWholeWebgpu }, () => undefined)

const config = scaledConfig({
  layers: 2,
  modelDim: 24,
  headDim: 6,
  vocabSize: 37,
  ffnDivisor: 19,
  maxContext: 8,
  queryHeadsPerKeyHead: 1,
  paddingIndex: 0,
})
const ignoreIndex = 0

/** Six rows of seven, of which 7, 1, 0, 0, 5 and 3 targets count. */
const inputs = [7, 1, 0, 0, 5, 3].map((_, b) =>
  Array.from({ length: 7 }, (_, i) => 1 + ((b * 5 + i * 3) % 36)),
)
const targets = [7, 1, 0, 0, 5, 3].map((counted, b) =>
  Array.from({ length: 7 }, (_, i) => (i < counted ? 1 + ((b * 7 + i * 11) % 36) : ignoreIndex)),
)

interface Outcome {
  readonly losses: number[]
  readonly norms: number[]
  readonly weights: Float32Array[]
}

/** Two updates from the same weights. */
async function trained(backend: Backend, options: TrainOptions): Promise<Outcome> {
  const model = await OpenELM.random(config, { backend, seed: 5 })
  const step = await createTrainStep(model, { ignoreIndex, ...options })
  const [losses, norms]: [number[], number[]] = [[], []]
  for (let i = 0; i < 2; i++) {
    const { loss, ce, z, gradNorm } = await step(inputs, targets, { lr: 1e-2 })
    losses.push(loss, ce, z)
    norms.push(gradNorm)
  }
  const { ce } = await step.state.evaluate(inputs, targets)
  losses.push(ce)
  const weights: Float32Array[] = []
  for (const tensor of model.tensors.values()) {
    weights.push((await readTensors([tensor as Tensor], backend))[0] as Float32Array)
  }
  await step.close()
  await model.close()
  return { losses, norms, weights }
}

const ways: Record<string, TrainOptions> = {
  "cross-entropy alone": { zLoss: 0, clip: Number.POSITIVE_INFINITY },
  "z-loss, label smoothing and a clip": { zLoss: 1e-2, labelSmoothing: 0.1, clip: 0.5 },
  "activation checkpointing": { checkpointActivations: true },
}

for (const { label, open } of allBackends) {
  t.test(`micro-batches of unequal counts on ${label} are one batch`, async (t) => {
    const backend = await open()
    for (const [way, options] of Object.entries(ways)) {
      const whole = await trained(backend, options)
      for (const accumulation of [2, 3, 6]) {
        const parts = await trained(backend, { ...options, accumulation })
        const name = `${way}, ${accumulation} parts`
        t.ok(relativeError(parts.losses, whole.losses) < 1e-5, `${name}: ${parts.losses}`)
        t.ok(relativeError(parts.norms, whole.norms) < 1e-5, `${name}: norms ${parts.norms}`)
        parts.weights.forEach((w, i) => {
          const error = relativeError(w, whole.weights[i] ?? [])
          if (error > 1e-4) t.fail(`${name}: weight ${i} is off by ${error}`)
        })
      }
    }
    backend.close()
  })
}

t.test("summed micro-batches are means of their own, and none may be empty", async (t) => {
  const { backend, model } = await opened()
  const options = { ignoreIndex, zLoss: 1e-3, accumulation: 2, accumulate: "sum" } as const
  const step = await createTrainStep(model, { ...options, clip: Number.POSITIVE_INFINITY })
  const rows = [0, 1, 4, 5]
  const [some, wanted] = [inputs, targets].map((all) => rows.map((b) => all[b] as number[])) as [
    number[][],
    number[][],
  ]
  const halfOf = (at: number) =>
    lossAndGradients(model, some.slice(at, at + 2), wanted.slice(at, at + 2), {
      ignoreIndex,
      zLoss: 1e-3,
    })
  const [a, b] = [await halfOf(0), await halfOf(2)]
  const found = await step(some, wanted, { lr: 0 })
  t.ok(Math.abs(found.loss - (a.loss + b.loss) / 2) < 1e-5, `loss ${found.loss}`)
  const squares = Object.entries(a.gradients).flatMap(([name, g]) =>
    [...g].map((x, i) => (x + (b.gradients[name]?.[i] as number)) ** 2),
  )
  const norm = Math.sqrt(squares.reduce((sum, x) => sum + x))
  t.ok(Math.abs(found.gradNorm - norm) < 1e-5 * norm, `norm ${found.gradNorm} of ${norm}`)
  await t.rejects(step(inputs.slice(0, 4), targets.slice(0, 4), { lr: 0 }), {
    name: "RangeError",
    message: /targets: every id of micro-batch 1 is the ignored 0, so nothing is learnt/,
  })
  await step.close()
  const mean = await createTrainStep(model, { ignoreIndex, accumulation: 2 })
  await t.rejects(mean(inputs.slice(2, 4), targets.slice(2, 4), { lr: 0 }), {
    name: "RangeError",
    message: /targets: every id is the ignored 0, so nothing is learnt/,
  })
  await mean.close()
  const none = lossAndGradients(model, inputs.slice(2, 4), targets.slice(2, 4), { ignoreIndex })
  await t.rejects(none, /targets: every id is the ignored 0/)
  await model.close()
  backend.close()
})

async function opened() {
  const backend = await (allBackends[1] as (typeof allBackends)[0]).open()
  return { backend, model: await OpenELM.random(config, { backend, seed: 5 }) }
}
