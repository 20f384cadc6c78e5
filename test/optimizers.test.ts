// What moves the weights, and which of them: optimizers by name and of one's own, frozen weights.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readTensors } from "../engine/index.ts"
import {
  createTrainStep,
  lossAndGradients,
  OpenELM,
  open,
  optimizers,
  type Tensor,
  train,
  trainingSettings,
} from "../index.ts"
import { goldenBackends, relativeError } from "./backends.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const inputs = [
  [1, 5, 9, 13],
  [2, 6, 10, 14],
]
const targets = [
  [5, 9, 13, 17],
  [6, 10, 14, 18],
]
const lr = 0.02

/** Every weight in the layout of its backend. */
async function weightsOf(model: OpenELM): Promise<Map<string, Float32Array>> {
  const values = await readTensors([...model.tensors.values()], model.backend)
  return new Map([...model.tensors.keys()].map((name, i) => [name, values[i] as Float32Array]))
}

/** Parameters after updates by the gradients that the model has before each, as the formula has it. */
async function byFormula(model: OpenELM, updates: number, momentum: number, decay: number) {
  const first = await lossAndGradients(model, inputs, targets)
  const buffers = new Map(Object.entries(first.gradients).map(([n, g]) => [n, g.map(() => 0)]))
  const step = await createTrainStep(model, {
    optimizer: optimizers.sgd({ momentum }),
    weightDecay: decay,
    clip: Number.POSITIVE_INFINITY,
  })
  const norm = "norm.weight"
  const expected = [...((await weightsOf(model)).get(norm) ?? [])]
  for (let i = 0; i < updates; i++) {
    const { gradients } = await lossAndGradients(model, inputs, targets)
    const buffer = buffers.get(norm) ?? new Float32Array()
    gradients[norm]?.forEach((g, n) => {
      // A vector is not decayed.
      buffer[n] = momentum * (buffer[n] as number) + g
      expected[n] = (expected[n] as number) - lr * (buffer[n] as number)
    })
    await step(inputs, targets, { lr })
  }
  await step.close()
  return { expected, got: (await weightsOf(model)).get(norm) ?? [] }
}

for (const { label, open: opened } of goldenBackends) {
  t.test(`sgd moves by its momentum, on ${label}`, async (t) => {
    const backend = await opened()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 3 })
    const { expected, got } = await byFormula(model, 3, 0.9, 0.1)
    const error = relativeError(got, expected)
    t.ok(error < 1e-6, `off by ${error.toExponential(1)}`)
  })

  t.test(`frozen weights stay to the bit, and take no memory, on ${label}`, async (t) => {
    const backend = await opened()
    t.teardown(() => backend.close())
    const run = async (trainable?: (name: string) => boolean) => {
      await using model = await OpenELM.random(config, { backend, seed: 3 })
      const before = await weightsOf(model)
      const step = await createTrainStep(model, { ...(trainable && { trainable }) })
      const losses = [await step(inputs, targets, { lr }), await step(inputs, targets, { lr })]
      const bytes = step.state.optimizerBytes
      const steps = step.state.planSteps
      await step.close()
      const after = await weightsOf(model)
      const moved = [...before].filter(([n, x]) => !Buffer.from(x.buffer).equals(bytesOf(after, n)))
      return { moved: moved.map(([name]) => name), bytes, steps, losses }
    }
    const isNorm = (name: string): boolean => name.includes("norm")
    const [all, some] = [await run(), await run(isNorm)]
    t.same(some.moved, all.moved.filter(isNorm), "only the norms move")
    t.equal(some.losses[0]?.loss, all.losses[0]?.loss, "from the same loss")
    t.ok((some.losses[1]?.loss ?? 9) < (some.losses[0]?.loss ?? 0), "which falls")
    t.ok((some.losses[0]?.gradNorm ?? 9) < (all.losses[0]?.gradNorm ?? 0), "the norm is of these")
    t.ok(some.bytes < all.bytes / 20, `${some.bytes} of ${all.bytes} bytes`)
    t.ok(some.steps < all.steps, `${some.steps} of ${all.steps} steps`)
  })
}

const bytesOf = (all: ReadonlyMap<string, Float32Array>, name: string): Buffer =>
  Buffer.from(all.get(name)?.buffer ?? new ArrayBuffer(0))

t.test("an optimizer of one's own is an object", async (t) => {
  await using backend = await open("js")
  await using model = await OpenELM.random(config, { backend, seed: 3 })
  const still = {
    name: "still",
    state: [],
    rates: () => Float32Array.of(0),
    update: ({ p }: { readonly p: Tensor }) => ({ p, state: [] }),
  }
  const before = await weightsOf(model)
  const step = await createTrainStep(model, { optimizer: still })
  t.ok((await step(inputs, targets, { lr })).loss > 0)
  await step.close()
  t.same(await weightsOf(model), before)
})

t.test("wrong optimizers and sets say what is expected", async (t) => {
  await using backend = await open("js")
  await using model = await OpenELM.random(config, { backend })
  const wrong = (options: object, message: RegExp) =>
    t.rejects(createTrainStep(model, options), { message })
  await wrong({ optimizer: "adam" }, /adamw, sgd/)
  await wrong({ optimizer: null }, /adamw, sgd/)
  await wrong({ trainable: () => false }, /none of the 26 weights, such as token_embeddings/)
  await wrong({ trainable: "norm" }, /trainable must be a function/)
  t.throws(() => optimizers.sgd({ momentum: 1 }), /momentum must be from 0 and below 1/)
})

t.test("a run by sgd resumes to the bit", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "openelm-sgd-"))
  t.teardown(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, "a.txt"), "It is a truth universally acknowledged.\n".repeat(200))
  await using backend = await open("wasm", { threads: 1 })
  const run = async (out: string, steps: number, resume?: string) => {
    const settings = await trainingSettings({
      ...{
        layers: 1,
        dim: 32,
        headDim: 16,
        sequenceLength: 16,
        batchSize: 2,
        tokenizer: "byte",
      },
      ...{ data: join(dir, "a.txt"), validation: 0, steps, saveEvery: 2, optimizer: "sgd" },
      ...{ lr: 0.01, minLr: 0.01, warmupSteps: 0, sampleEvery: 0, out: join(dir, out) },
    })
    const { checkpoint } = await train(settings, { backend, ...(resume && { resume }) })
    const files = ["model.safetensors", "optimizer.safetensors"]
    return files.map((name) => readFileSync(join(checkpoint as string, name)))
  }
  const whole = await run("whole", 4)
  await run("parts", 2)
  const parts = await run("parts", 4, join(dir, "parts"))
  t.ok(parts[0]?.equals(whole[0] as Buffer), "weights")
  t.ok(parts[1]?.equals(whole[1] as Buffer), "momentum")
})
