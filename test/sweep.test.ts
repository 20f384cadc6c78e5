// `elm bench sweep`: ways to scale layers at one budget of parameters, measured and drawn.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { benchSweep, configOfBudget, type Range, sweepConfigs } from "../bench/measure/sweep.ts"
import { sweepHtml } from "../bench/report/sweep.ts"
import { configOf, modelNames, open } from "../index.ts"
import { parameterCount } from "../model/index.ts"
import { elm, endsOf, node } from "./command.ts"
import { smallPart } from "./driver.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-sweep-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const alpha: readonly Range[] = [
  [0.75, 0.75],
  [0.5, 1],
]
const beta: readonly Range[] = [
  [2.25, 2.25],
  [0.5, 4],
]

t.test("all ways have the budget of a released size, one of them is that size", (t) => {
  for (const name of modelNames) {
    const base = configOf(name)
    const parameters = parameterCount(base)
    const configs = sweepConfigs({ base, parameters, alpha, beta })
    for (const config of configs) {
      const ratio = parameterCount(config) / parameters
      t.ok(Math.abs(ratio - 1) < 0.03, `${name} ${config.name}: ${ratio}`)
    }
    const { queryHeads, ffnDims, modelDim } = base
    t.match(configs.at(-1), { queryHeads, ffnDims, modelDim, name: "α 0.5–1, β 0.5–4" })
  }
  t.throws(() => configOfBudget(configOf("270M"), 1000, [0.5, 1], [0.5, 4]), {
    name: "RangeError",
    message: /^1000 parameters are not to be had with 16 layers and a vocabulary of 32000/,
  })
  t.end()
})

const sizes = { layers: 2, headDim: 16, vocabSize: 101, queryHeadsPerKeyHead: 2, ffnDivisor: 8 }

t.test("each way is measured in turns, and its layers are drawn", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const base = { ...configOf("270M"), ...sizes }
  const options = { ...{ base, parameters: 50000, alpha, beta }, cache: "f32" } as const
  const lengths = { dtype: "bf16", prompt: 3, generate: 3, repeat: 2 } as const
  const rows = await benchSweep(backend, { ...options, ...lengths }, () => {})
  t.equal(rows.length, 4)
  for (const { model, parameters, modelDim, layerParameters, repeats } of rows) {
    const inLayers = layerParameters.reduce((a, b) => a + b, 0)
    t.equal(inLayers + 101 * modelDim + modelDim, parameters, model)
    t.equal(repeats.length, 2)
  }
  const [first = 0, last = 0] = rows[3]?.layerParameters ?? []
  t.ok(last > 2 * first, "the last layer is the widest")
  const machine = {
    cpu: "a processor",
    cores: 2,
    memoryBytes: 2 ** 34,
    os: "linux",
    runtime: "node",
  }
  const html = sweepHtml({ machine, protocol: "two threads", rows })
  t.equal(html.match(/<path class="s\d" d=/g)?.length, 4, "a line for each")
  t.notMatch(html, /https?:(?!\/\/www\.w3\.org)|NaN|undefined/)
  t.notMatch(html, "cross-entropy")
})

t.test("wrong grids and budgets are wrong usage", async (t) => {
  const lines = [
    ["bench", "sweep", "--alpha", "0.5:"],
    ["bench", "sweep", "--beta", "1:2:3"],
    ["bench", "sweep", "--parameters", "10", "--out", dir],
    ["bench", "sweep", "--prompt", "4000", "--out", dir],
  ]
  const said = [/Expected pairs FIRST:LAST/, /Expected pairs/, /not to be had/, /context of/]
  for (const [i, { code, stderr }] of (await endsOf(lines)).entries()) {
    t.equal(code, 2)
    t.match(stderr, said[i])
  }
})

t.test("with --train, each has a loss", smallPart ? { skip: smallPart } : {}, async (t) => {
  const out = join(dir, "trained")
  const small = ["--layers", "2", "--head-dim", "16", "--parameters", "1M", "--alpha", "0.5:1"]
  const short = ["--generate", "2", "--repeat", "1", "--train", "4K", "--out", out]
  const { code, stdout, stderr } = await node(elm, "bench", "sweep", ...small, ...short)
  t.equal(code, 0, stderr)
  const { rows } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "")
  t.equal(rows.length, 3)
  for (const { loss } of rows) t.ok(loss > 3 && loss < 9, `${loss}`)
  t.match(readFileSync(join(out, "report.html"), "utf8"), "cross-entropy after the training")
})
