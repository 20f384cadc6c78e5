// Training against the original implementation: losses, gradients, six steps, the parameters after
// three; and its own promises: accumulation, activation checkpointing, threads, refused input.

import { openWasm } from "../backends/wasm/index.ts"
import { bufferOf, readTensors, type Tensor } from "../engine/index.ts"
import { OpenELM, parseConfig, specsOf } from "../model/index.ts"
import { unpack } from "../ops/index.ts"
import { createTrainStep, lossAndGradients } from "../train/index.ts"
import { learningRate, unroundedRate } from "../train/run/schedule.ts"
import { goldenBackends, relativeError } from "./backends.ts"
import { smallPart } from "./driver.ts"
import { fixtureJson, golden, goldenFolder, goldenOf } from "./fixtures.ts"
import t from "./tap.ts"

const folder = goldenFolder()
t.teardown(() => folder.remove())
const expected = fixtureJson("model/expected.json")
const grads = await golden("model/grads.safetensors")
const after = await golden("model/params_after_3_steps.safetensors")
const config = parseConfig(fixtureJson("model/config.json"), "config.json")
const loss = { zLoss: expected.z_loss_eps, ignoreIndex: expected.ignore_index }
const { batches, steps_f64: wanted } = expected.train

/** Every parameter as rows, by name. */
async function parameters(model: OpenELM): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>()
  for (const { name, shape, halves: Halves, matrix } of specsOf(model.config)) {
    const tensor = model.tensors.get(name) as Tensor
    const [N, K] = shape as [number, number]
    const rows = matrix ? unpack(tensor, { N, K, Halves, dtype: "f32" }) : tensor
    all.set(name, (await readTensors([rows], model.backend))[0] as Float32Array)
  }
  return all
}

const off = (got: number, want: number): number => Math.abs(got - want)

for (const { label, open } of goldenBackends) {
  t.test(`training on ${label} goes as the original's`, async (t) => {
    const backend = await open()
    const used = () => ("usedBytes" in backend ? backend.usedBytes : 0)
    const before = used()
    const model = await OpenELM.load(folder.path, { backend })
    // In the small part of webgpu's tests, without what recomputes activations.
    const variants = label === "webgpu" && smallPart ? [false] : [false, true]
    for (const checkpointActivations of variants) {
      const found = await lossAndGradients(model, expected.input_ids, expected.targets, {
        ...loss,
        checkpointActivations,
      })
      const { total_loss, ce_loss, z_loss } = expected.loss.f64
      t.ok(off(found.loss, total_loss) < 3e-6, `loss ${found.loss}`)
      t.ok(off(found.ce, ce_loss) < 3e-6, `ce ${found.ce}`)
      t.ok(off(found.z, z_loss) < 3e-8, `z ${found.z}`)
      t.same(Object.keys(found.gradients).sort(), [...grads.keys()].sort(), "every gradient")
      for (const [name, gradient] of Object.entries(found.gradients)) {
        const error = relativeError(gradient, goldenOf(grads, name).values)
        t.ok(error < 2e-5, `${name} is off by ${error.toExponential(1)}`)
      }
    }

    const step = await createTrainStep(model, { ...loss, weightDecay: 0.1, clip: 1 })
    const steps = label === "webgpu" && smallPart ? 3 : wanted.length
    for (const [i, { lr, total_loss, grad_norm_before_clip: norm }] of wanted
      .slice(0, steps)
      .entries()) {
      const { input_ids, targets } = batches[i]
      const found = await step(input_ids, targets, { lr })
      t.ok(off(found.loss, total_loss) < 1e-5, `loss of step ${i}: ${found.loss}`)
      t.ok(off(found.gradNorm, norm) / norm < 1e-5, `norm of step ${i}: ${found.gradNorm}`)
      if (i !== 2) continue
      for (const [name, values] of await parameters(model)) {
        const { values: want } = goldenOf(after, name)
        const error = Math.max(...values.map((x, n) => off(x, want[n] as number)))
        t.ok(error < 1e-5, `${name} after 3 steps is off by ${error.toExponential(1)}`)
      }
    }
    await step.close()
    await model.close()
    t.equal(used(), before, "everything is freed")
    backend.close()
  })
}

t.test("learning rates are the original's, to 1e-12", (t) => {
  const { schedules } = fixtureJson("ops/lr_schedule.json")
  for (const [name, s] of Object.entries<Record<string, number> & { values: [] }>(schedules)) {
    const schedule = {
      maxLr: s.max_lr as number,
      minLr: s.min_lr as number,
      warmupInitLr: s.warmup_init_lr as number,
      warmupSteps: s.warmup_iterations as number,
      maxSteps: s.max_iterations as number,
    }
    for (const { step, lr, lr_applied } of s.values as Record<string, number>[]) {
      t.ok(off(unroundedRate(schedule, step as number), lr as number) < 1e-12, `${name} ${step}`)
      t.equal(learningRate(schedule, step as number), lr_applied, `${name} ${step} rounded`)
    }
  }
  t.end()
})

t.test("micro-batches, averaged, move the parameters as one batch does", async (t) => {
  const results = []
  for (const accumulation of [1, 2]) {
    const backend = await openWasm({ threads: 1 })
    const model = await OpenELM.load(folder.path, { backend })
    // Rows without padding: every row then has the same weight in the mean.
    const rows: number[][] = [0, 1, 2, 3].map((i) => batches[i].input_ids[0])
    const step = await createTrainStep(model, { ...loss, zLoss: 0, accumulation })
    const targets = rows.map((row) => [...row.slice(1), 7])
    const { loss: value, gradNorm } = await step(rows, targets, { lr: 1e-3 })
    results.push({ value, gradNorm, values: await parameters(model) })
    await step.close()
    await model.close()
    backend.close()
  }
  const [one, two] = results as [(typeof results)[0], (typeof results)[0]]
  t.ok(off(one.value, two.value) < 1e-5)
  t.ok(off(one.gradNorm, two.gradNorm) < 1e-5 * one.gradNorm)
  for (const [name, values] of one.values) {
    t.ok(relativeError(two.values.get(name) as Float32Array, values) < 1e-4, name)
  }
})

t.test("summed micro-batches have the norm of their sum", async (t) => {
  const backend = await openWasm({ threads: 1 })
  const model = await OpenELM.load(folder.path, { backend })
  const { input_ids, targets } = batches[0]
  const twice = [...input_ids, ...input_ids]
  const sum = await createTrainStep(model, { ...loss, accumulation: 2, accumulate: "sum" })
  const { gradNorm } = await sum(twice, [...targets, ...targets], { lr: 0 })
  const norm = expected.grad_global_l2_norm_f64
  t.ok(off(gradNorm, 2 * norm) < 1e-4, `${gradNorm} is twice ${norm}`)
  await sum.close()
  await model.close()
  backend.close()
})

t.test("steps are equal to the bit on any number of threads, and from run to run", async (t) => {
  const runs = []
  for (const threads of [1, 2, 2, 3]) {
    const backend = await openWasm({ threads })
    const model = await OpenELM.random(config, { backend, seed: 3 })
    const step = await createTrainStep(model, loss)
    const losses = []
    for (const { input_ids, targets } of batches) {
      losses.push((await step(input_ids, targets, { lr: 1e-3 })).loss)
    }
    runs.push({ losses, values: await parameters(model) })
    await step.close()
    await model.close()
    backend.close()
  }
  for (const run of runs.slice(1)) t.same(run, runs[0])
})

t.test("a gradient that is not finite is an error, and nothing has moved", async (t) => {
  const backend = await openWasm({ threads: 2 })
  const model = await OpenELM.load(folder.path, { backend })
  const step = await createTrainStep(model, loss)
  const { input_ids, targets } = batches[0]
  await step(input_ids, targets, { lr: 1e-3 })
  const norm = model.tensors.get("layers.2.ffn_norm.weight") as Tensor
  const kept = new Float32Array(await backend.read(bufferOf(norm)))
  backend.write(
    bufferOf(norm),
    kept.map((x, i) => (i === 3 ? Number.NaN : x)),
  )
  const before = await parameters(model)
  await t.rejects(step(input_ids, targets, { lr: 1e-3 }), /update 2: .*not finite.*layers\.2/)
  t.same(await parameters(model), before)
  backend.write(bufferOf(norm), kept)
  const { loss: value } = await step(input_ids, targets, { lr: 1e-3 })
  t.ok(value < expected.loss.f64.total_loss, `goes on with loss ${value}`)
  const ignored = targets.map((row: number[]) => row.map(() => loss.ignoreIndex))
  await t.rejects(step(input_ids, ignored, { lr: 1e-3 }), /every id is the ignored/)
  const running = step(input_ids, targets, { lr: 1e-3 })
  await t.rejects(step(input_ids, targets, { lr: 1e-3 }), /under way. Await it/)
  await running
  t.equal(step.state.steps, 3)
  await step.close()
  await model.close()
  backend.close()
})

t.test("bf16 weights follow their f32 masters", async (t) => {
  const backend = await openWasm({ threads: 2 })
  const losses = []
  for (const dtype of ["f32", "bf16"] as const) {
    const model = await OpenELM.load(folder.path, { backend, dtype })
    const step = await createTrainStep(model, loss)
    const { input_ids, targets } = batches[0]
    let last = 0
    for (let i = 0; i < 20; i++) last = (await step(input_ids, targets, { lr: 2e-3 })).loss
    losses.push(last)
    await step.close()
    await model.close()
  }
  const [f32, bf16] = losses as [number, number]
  t.ok(f32 < 2.5, `loss ${f32} after 20 steps on one batch`)
  t.ok(off(f32, bf16) < 0.1, `and ${bf16} in bf16`)
  backend.close()
})

t.test("refused: options and batches that cannot be", async (t) => {
  const backend = await openWasm({ threads: 1 })
  const model = await OpenELM.load(folder.path, { backend })
  const refused = (options: object, message: RegExp) =>
    t.rejects(createTrainStep(model, options), message)
  await refused({ betas: [0.9, 1] }, /betas\[1\] must be from 0 and below 1, got 1/)
  await refused({ clip: 0 }, /clip must be above 0, got 0/)
  await refused({ accumulation: 1.5 }, /accumulation must be a whole number from 1/)
  await refused({ accumulate: "max" }, /accumulate must be "sum" or "mean"/)
  const step = await createTrainStep(model, { ...loss, accumulation: 2 })
  const lr = 1e-3
  await t.rejects(step([[1, 2]], [[2, 3]], { lr }), /1 rows do not make 2 equal micro-batches/)
  await t.rejects(
    step(
      [[1, 2], [1]],
      [
        [2, 3],
        [2, 3],
      ],
      { lr },
    ),
    /expected 2 rows of 2/,
  )
  await t.rejects(
    step(
      [
        [1, 128],
        [1, 2],
      ],
      [
        [2, 3],
        [2, 3],
      ],
      { lr },
    ),
    /inputs\[0\]\[1\] must be a token id/,
  )
  await t.rejects(step([[1], [2]], [[2], [-1]], { lr }), /targets\[1\]\[0\] must be a token id/)
  await t.rejects(step([[1], [2]], [[2], [3]], { lr: Number.NaN }), /lr must be a number/)
  await t.rejects(
    step([[1], [2]], [[2], [3]], { lr, starts: [[0], [1]] }),
    /starts\[1\]\[0\] must be from 0 to 0, got 1/,
  )
  await refused({ ignoreIndex: 2 ** 40 }, /ignoreIndex must be a whole number from/)
  await step.close()
  await step.close()
  await t.rejects(step([[1], [2]], [[2], [3]], { lr }), /is closed. Create another/)
  await model.close()
  backend.close()
})
