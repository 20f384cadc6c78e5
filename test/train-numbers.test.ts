// Numbers of training as kernels get them, in f32: options and rates at their ends, updates that would
// not be finite, and files that hold none that is not.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWasm } from "../backends/wasm/index.ts"
import { bufferOf, readTensors, type Tensor } from "../engine/index.ts"
import { OpenELM, scaledConfig } from "../model/index.ts"
import { createTrainStep, type TrainStepFunction } from "../train/index.ts"
import { averageModels } from "../train/run/average.ts"
import { checkpointsIn, writeCheckpoint } from "../train/run/checkpoint.ts"
import { RunFolder } from "../train/run/folder.ts"
import { checkSettings } from "../train/run/settings.ts"
import { allBackends, noWholeWebgpu } from "./backends.ts"
import { smallPart } from "./driver.ts"
import t from "./tap.ts"

if (noWholeWebgpu) t.test("updates on webgpu", { skip: noWholeWebgpu }, () => undefined)

const dir = mkdtempSync(join(tmpdir(), "openelm-numbers-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const config = scaledConfig({
  layers: 1,
  modelDim: 18,
  headDim: 6,
  vocabSize: 21,
  ffnDivisor: 17,
  maxContext: 8,
  queryHeadsPerKeyHead: 1,
})
const [inputs, targets] = [[[1, 2, 3, 4, 5]], [[2, 3, 4, 5, 6]]]

/** Weights, masters and moments. */
async function stateOf({ state }: TrainStepFunction): Promise<Float32Array[]> {
  const { parameters, model } = state
  const tensors = parameters.flatMap(({ weight, master, state }) =>
    weight === master ? [weight, ...state] : [weight, master, ...state],
  )
  return (await readTensors(tensors as Tensor[], model.backend)) as Float32Array[]
}

/** Options and rates whose update f32 does not hold, though each number is one of f32. */
const tooLarge = [
  { lr: 3e38, options: {} },
  { lr: 3e38, options: { clip: Number.POSITIVE_INFINITY, accumulation: 2 } },
  { lr: 1e20, options: { weightDecay: 1e20 } },
  { lr: 1e30, options: { weightDecay: 1e30, accumulation: 2 } },
  { lr: 1e2, options: { eps: 1e-37, weightDecay: 3e38 } },
]

for (const { label, open } of allBackends) {
  t.test(
    `an update on ${label} that f32 does not hold is an error, and nothing moves`,
    async (t) => {
      const backend = await open()
      for (const dtype of ["f32", "bf16"] as const) {
        // The plain kernels are slow, and know nothing of bf16 that the others do not.
        if (dtype === "bf16" && label === "js" && smallPart) continue
        for (const { lr, options } of tooLarge) {
          const model = await OpenELM.random(config, { backend, seed: 2, dtype })
          const step = await createTrainStep(model, options)
          const rows = options.accumulation
            ? [inputs, targets].map((x) => [...x, ...x])
            : [inputs, targets]
          const [some, wanted] = rows as [number[][], number[][]]
          await step(some, wanted, { lr: 0 })
          const before = await stateOf(step)
          const name = `${dtype} lr ${lr} ${JSON.stringify(options)}`
          await t.rejects(
            step(some, wanted, { lr }),
            {
              name: "Error",
              message:
                /update 2: [1-9]\d* numbers of the parameters .* not be finite .*Nothing was changed/,
            },
            name,
          )
          t.same(await stateOf(step), before, name)
          t.equal(step.state.steps, 1)
          const { loss } = await step(some, wanted, { lr: 0 })
          t.ok(Number.isFinite(loss), `goes on with loss ${loss}`)
          await step.close()
          await model.close()
        }
      }
      backend.close()
    },
  )
}

t.test("an update just within f32 is made, as it is without being tried", async (t) => {
  const backend = await openWasm({ threads: 1 })
  const states: Float32Array[][] = []
  // Bounds do not tell for the first: a step of 0.1/(1 − 0.9) over it is more than they allow.
  for (const eps of [1.2e-38, 1e-30]) {
    const model = await OpenELM.random(config, { backend, seed: 2 })
    const step = await createTrainStep(model, { eps })
    for (let i = 0; i < 3; i++) await step(inputs, targets, { lr: 0.1 })
    states.push(await stateOf(step))
    await step.close()
    await model.close()
  }
  t.same(states[0], states[1])
  backend.close()
})

t.test("options and rates that f32 does not hold are refused", async (t) => {
  const backend = await openWasm({ threads: 1 })
  const model = await OpenELM.random(config, { backend })
  const wrong: Record<string, unknown[]> = {
    eps: [1e-46, 1e-39, 0, 1e39],
    weightDecay: [1e39, 1e-46, -1],
    clip: [1e-46, 0, 1e39],
    zLoss: [1e39, 1e-46],
    labelSmoothing: [1 - 1e-9, 1, 1e-46],
    betas: [
      [0.9, 1 - 1e-9],
      [1e-46, 0.9],
    ],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const message = new RegExp(`^${name}(\\[.\\])? must be `)
      await t.rejects(
        createTrainStep(model, { [name]: value }),
        { name: "RangeError", message },
        name,
      )
    }
  }
  const step = await createTrainStep(model)
  for (const lr of [1e39, 1e-46, 1e-39, -1, Number.POSITIVE_INFINITY]) {
    const message = /^lr must be a number from 0 \(in f32: 1\.2e-38 to 3\.4e38\), got /
    await t.rejects(step(inputs, targets, { lr }), { name: "RangeError", message }, `${lr}`)
    const text = step(inputs, targets, { lr: "1" as never })
    await t.rejects(text, { name: "RangeError", message }, "a text")
  }
  await step.close()
  await model.close()
  backend.close()
})

t.test("settings of a run that f32 does not hold are refused before it begins", (t) => {
  const whole = { layers: 1, dim: 16, steps: 1, warmupSteps: 0 }
  const wrong = { lr: [1e39, 1e-46, 4e-9], minLr: [1e39], warmupInitLr: [1e39], eps: [1e-46] }
  const more = { weightDecay: [1e39], clip: [1e-46], zLoss: [1e39], labelSmoothing: [1 - 1e-9] }
  for (const [field, values] of Object.entries({ ...wrong, ...more, betas: [[0.9, 1 - 1e-9]] })) {
    for (const value of values) {
      const message = new RegExp(`these: ${field}\\S* is .*, expected a number`)
      t.throws(() => checkSettings({ ...whole, [field]: value }, "these"), {
        name: "RangeError",
        message,
      })
    }
  }
  t.doesNotThrow(() => checkSettings({ ...whole, lr: 1e-8, minLr: 0, zLoss: 0 }, "these"))
  t.end()
})

t.test("no file holds a number that is not finite, and a good one stays", async (t) => {
  const backend = await openWasm({ threads: 1 })
  const model = await OpenELM.random(config, { backend, seed: 2 })
  const step = await createTrainStep(model)
  await step(inputs, targets, { lr: 1e-3 })
  const [run, saved] = [join(dir, "run"), join(dir, "saved")]
  const state = { tokens: 5, settings: {} as never, data: null }
  const folder = await RunFolder.open(run)
  const good = await writeCheckpoint(folder, step.state, state, { keep: 1 })
  await model.save(saved)
  const kept = readFileSync(join(saved, "model.safetensors"))
  await step(inputs, targets, { lr: 1e-3 })
  const { weight, state: moments } = step.state.parameters[1] as (typeof step.state.parameters)[0]
  for (const [tensor, name] of [
    [weight, "layers.0"],
    [moments[0] as Tensor, "exp_avg.layers.0"],
  ] as const) {
    const [values] = (await readTensors([tensor], backend)) as [Float32Array]
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      backend.write(bufferOf(tensor), values.with(3, bad))
      const message = new RegExp(
        `Cannot write a checkpoint of update 2 .*${name}\\..*: 1 of .* NaN or`,
      )
      await t.rejects(writeCheckpoint(folder, step.state, state, { keep: 1 }), { message })
      t.same(await checkpointsIn(run), [good], "the last whole one is not rotated away")
      if (tensor !== weight) continue
      await t.rejects(model.save(saved), {
        name: "RangeError",
        message: /^layers\.0.*1 of .* NaN or/,
      })
      t.same(readFileSync(join(saved, "model.safetensors")), kept, "what was saved stays")
    }
    backend.write(bufferOf(tensor), values)
  }
  backend.write(bufferOf(weight), new Float32Array(weight.size).fill(1e5))
  await t.rejects(model.save(join(dir, "narrow"), { dtype: "f16" }), /infinite in F16.*wider dtype/)
  t.notOk(existsSync(join(dir, "narrow", "config.json")))
  backend.write(bufferOf(weight), new Float32Array(weight.size).fill(3e38))
  await model.save(saved)
  await averageModels([saved, saved], join(dir, "average"))
  t.ok(existsSync(join(dir, "average", "config.json")), "sums are of float64")
  await OpenELM.load(saved, { backend }).then((again) => again.close())
  await step.close()
  await model.close()
  backend.close()
})
