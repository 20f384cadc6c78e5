// What the benchmarks say of GPUs where there is none: predictions from plans, and a token's plan
// handed to Dawn's driver that computes nothing.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { openWebgpu, webgpuKernels } from "../backends/webgpu/index.ts"
import { benchDrive } from "../bench/measure/drive.ts"
import { explain } from "../bench/measure/explain.ts"
import { outlineSession, PaperBackend } from "../bench/measure/outline.ts"
import { gpus, predict } from "../bench/measure/roofline.ts"
import { stepsText } from "../cli/terminal/steps.ts"
import { configOf, modelNames, OpenELM, open } from "../index.ts"
import { internals } from "../model/index.ts"
import { noWholeWebgpu } from "./backends.ts"
import { goldenFolder } from "./fixtures.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))

const quiet = Object.assign(() => undefined, { done: () => true })

t.test("a token of 270M is at most 100 dispatches, none of them a norm alone", async (t) => {
  const options = { dtype: "bf16", cache: "f32", capacity: 2048 } as const
  for (const name of modelNames) {
    const backend = new PaperBackend("webgpu", webgpuKernels)
    const layers = configOf(name).layers
    const { session, close } = outlineSession(configOf(name), backend, options)
    const { steps } = session.decodePlan
    t.equal(steps.length, 6 * layers + 4, name)
    t.same(
      steps.filter(({ op }) => /^(add)?(rms|layer)Norm/i.test(op.name)),
      [],
    )
    close()
  }
})

t.test("predictions follow from bytes, multiply-adds and dispatches", async (t) => {
  const flags = { model: ["270M", "1.1B"], dtype: "bf16", cache: "f16", context: 1059 } as const
  const rows = await predict(flags)
  t.equal(rows.length, 2 * gpus.length)
  for (const row of rows) {
    const { bytesPerSecond } = gpus.find(({ name }) => name === row.gpu) as (typeof gpus)[number]
    const least = (1e6 * row.bytesPerToken) / bytesPerSecond + 2 * row.dispatchesPerToken
    const ratio = row.tokenMicroseconds / least
    t.ok(ratio > 0.999999 && ratio < 1.3, `${row.gpu} ${ratio}`)
    t.ok(row.promptTokensPerSecond > row.generationTokensPerSecond)
    t.equal(row.kind, "prediction")
  }
  const parameters = 2 * 271_527_168
  const bytes = rows[0]?.bytesPerToken ?? 0
  t.ok(bytes > parameters && bytes < 1.05 * parameters, "the weights, once, and the cache")
})

t.test("a token of 270M is one submit and one readback, with nothing made anew", async (t) => {
  const flags = { model: ["270M"], dtype: "bf16", cache: "f32", repeat: 1 } as const
  const [row] = await benchDrive(flags, quiet)
  t.match(row, {
    dispatchesPerToken: 100,
    submitsPerToken: 1,
    readbacksPerToken: 1,
    bindGroupsPerToken: 0,
  })
  t.ok((row?.processorMs.median ?? 0) > 0)
})

t.test("the steps of a token are timed, on the processor and on a GPU", async (t) => {
  const ceilings = { bytesPerSecond: 1e10, flopsPerSecond: 1e11 }
  const opened = [
    await open("wasm", { threads: 2 }),
    ...(noWholeWebgpu ? [] : [await openWebgpu()]),
  ]
  for (const backend of opened) {
    const model = await OpenELM.random(config, { backend, capacity: 64 })
    for await (const _ of model.generate([1, 2, 3], { maxNewTokens: 4, stop: [] })) void 0
    const steps = await explain(backend, internals(model).decodePlan, ceilings)
    t.equal(steps.length, 6 * config.layers + 4, backend.name)
    for (const { op, bytes, flops, microseconds, rooflineMicroseconds } of steps) {
      t.ok(microseconds === undefined || microseconds >= 0, op)
      const least = Math.max(bytes / 1e4, flops / 1e5)
      t.ok(Math.abs(rooflineMicroseconds - least) <= 1e-9 * least)
    }
    t.match(stepsText({ model: "small", dtype: "f32" }, steps), /normMatmulSwiglu/)
    await model.close()
    backend.close()
  }
})

t.test(
  "elm bench on a GPU prints its features, and each step",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    const folder = goldenFolder()
    t.teardown(() => folder.remove())
    const flags = ["--prompt", "5", "--generate", "4", "--repeat", "1", "--explain"]
    const args = [elm, "bench", "--backend", "webgpu", "--weights", folder.path, ...flags]
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...args,
      "--without",
      "timestamp-query",
    ])
    t.match(stdout, /; with .*; without .*timestamp-query/)
    t.match(stdout, /the steps of a token[\s\S]* all .*dispatches.*no timestamps/)
    const { rows } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
    t.match(rows[0], { backend: "webgpu", promptTokens: 5, generatedTokens: 4 })
    t.equal(rows[0].steps.length, rows[0].stepsPerToken)
  },
)

t.test(
  "a GPU without timestamps has no times",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    await using backend = await openWebgpu({ without: ["timestamp-query"] })
    const model = await OpenELM.random(config, { backend, capacity: 64 })
    const ceilings = { bytesPerSecond: 1e10, flopsPerSecond: 1e11 }
    const steps = await explain(backend, internals(model).decodePlan, ceilings)
    t.ok(steps.every(({ microseconds, workgroups }) => microseconds === undefined && workgroups[0]))
    t.match(stepsText({ model: "small", dtype: "f32" }, steps), /no timestamps/)
    await model.close()
  },
)
