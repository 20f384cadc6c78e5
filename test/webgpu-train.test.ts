// A training run whose device is lost goes on from its last checkpoint, to the same numbers.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWebgpu } from "../backends/webgpu/index.ts"
import { DeviceLostError, uniformAt } from "../engine/index.ts"
import { createTrainStep, OpenELM } from "../index.ts"
import type { StepMetrics } from "../train/run/metrics.ts"
import { checkSettings } from "../train/run/settings.ts"
import { train } from "../train/run/train.ts"
import { noWholeWebgpu } from "./backends.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const skip = noWholeWebgpu ? { skip: noWholeWebgpu } : {}
const dir = mkdtempSync(join(tmpdir(), "openelm-lost-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const text = join(dir, "text.txt")
const words = Array.from({ length: 4000 }, (_, i) => `word${Math.floor(9 * uniformAt(1, 2, 0, i))}`)
writeFileSync(text, words.join(" "))

const settingsOf = (out: string) =>
  checkSettings(
    {
      layers: 2,
      dim: 32,
      headDim: 16,
      queriesPerKey: 1,
      ffnDivisor: 16,
      tokenizer: "byte",
      data: { sources: [text], pack: true, shuffleWindows: 16, normalization: "none" },
      sequenceLength: 32,
      batchSize: 2,
      steps: 9,
      warmupSteps: 3,
      logEvery: 1,
      evalEvery: 0,
      sampleEvery: 0,
      saveEvery: 4,
      prompt: "word",
      out: join(dir, out),
    },
    out,
  )

/** Losses by step of a run whose device is taken away after some of its updates. */
async function run(out: string, lostAfter: readonly number[]) {
  await using backend = await openWebgpu()
  const losses = new Map<number, number>()
  const starts: number[] = []
  const left = [...lostAfter]
  const result = await train(settingsOf(out), {
    backend,
    onStart: ({ step }) => void starts.push(step),
    onMetrics(metrics) {
      const { step, loss } = metrics as StepMetrics
      losses.set(step, loss)
      if (left[0] !== step) return
      left.shift()
      backend.device.destroy()
    },
  })
  const weights = readFileSync(join(result.checkpoint as string, "model.safetensors"))
  return { losses, starts, weights, live: backend.liveCount }
}

t.test("training goes on where the device was lost", skip, async (t) => {
  const whole = await run("whole", [])
  const broken = await run("broken", [2, 4, 6])
  const starts = "from the start, also when lost before a checkpoint is whole, then from that"
  t.same(broken.starts, [0, 0, 0, 4], starts)
  t.same([...broken.losses], [...whole.losses])
  t.ok(broken.weights.equals(whole.weights), "weights")
  t.equal(broken.live, 0, "nothing is left behind")
})

t.test("a device lost while a run is opened", skip, async (t) => {
  await using backend = await openWebgpu()
  const write = backend.write.bind(backend)
  const messages: string[] = []
  backend.write = (...data) => {
    if (messages.length === 0) backend.device.destroy()
    write(...data)
  }
  const settings = { ...settingsOf("opened"), steps: 4 }
  const { step } = await train(settings, {
    backend,
    onDeviceLost: (text) => void messages.push(text),
  })
  t.equal(step, 4)
  t.match(messages, [/lost/])
  t.equal(backend.liveCount, 0)
})

t.test("a device lost twice at one update ends the run", skip, async (t) => {
  await using backend = await openWebgpu()
  const lost = train(settingsOf("twice"), {
    backend,
    onMetrics(metrics) {
      if (metrics.step === 2) backend.device.destroy()
    },
  })
  await t.rejects(lost, { name: "DeviceLostError" })
  t.equal(backend.liveCount, 0)
})

t.test("a step whose state was lost says so", skip, async (t) => {
  await using backend = await openWebgpu()
  await using model = await OpenELM.random(config, { backend })
  await using other = await OpenELM.random(config, { backend })
  const step = await createTrainStep(model)
  const [inputs, targets] = [[[1, 2, 3]], [[2, 3, 4]]]
  await step(inputs, targets, { lr: 1e-3 })
  backend.device.destroy()
  await t.rejects(step(inputs, targets, { lr: 1e-3 }), DeviceLostError)
  await other.logits(inputs)
  await t.rejects(step(inputs, targets, { lr: 1e-3 }), { message: /Load the last checkpoint/ })
  await step.close()
})
