// Adapters of families whose files have apart what is fused here: folders with PEFT's names of their modules
// against the same model with W + s·B·A, by magnitudes over norms, in its files; what is written; training.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { JsBackend } from "../backends/js/index.ts"
import { uniformAt } from "../engine/index.ts"
import {
  addAdapter,
  createTrainStep,
  LanguageModel,
  loadAdapter,
  lossAndGradients,
  open,
  optimizers,
} from "../index.ts"
import { openSafetensors, writeSafetensors } from "../model/index.ts"
import { relativeError } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-adapters-"))
t.teardown(() => rmSync(dir, { recursive: true }))

interface Filed {
  readonly shape: readonly number[]
  readonly values: Float32Array
}
type Tensors = Map<string, Filed>

async function filed(path: string): Promise<Tensors> {
  const file = await openSafetensors(path)
  const all: Tensors = new Map()
  for (const [name, { shape, bytes, dtype }] of file.tensors) {
    // Masks follow from the config.
    if (dtype !== "F32" || name.endsWith("attention.bias")) continue
    const raw = new Uint8Array(bytes)
    await file.read(name, 0, raw)
    all.set(name, { shape, values: new Float32Array(raw.buffer) })
  }
  await file.close()
  return all
}

function write(path: string, tensors: Tensors): Promise<void> {
  const all = [...tensors].map(([name, { shape, values }]) => {
    const data = (async function* () {
      yield values
    })()
    return [name, { dtype: "F32", shape, data }] as const
  })
  return writeSafetensors(path, new Map(all), { format: "pt" })
}

const drawn = (shape: readonly number[], stream: number, scale: number): Filed => {
  const size = shape.reduce((a, b) => a * b)
  const number = (_: unknown, i: number) => scale * (2 * uniformAt(7, stream, 0, i) - 1)
  return { shape, values: Float32Array.from({ length: size }, number) }
}

const [rank, alpha, otherRank] = [3, 6, 2]

/** A folder of an adapter on the matrices that `targets` names, and the model merged with it. */
async function madeFor(name: string, kind: "lora" | "dora", targets: readonly string[]) {
  const model = fixture(`models/${name}`)
  const tensors = await filed(join(model, "model.safetensors"))
  const [folder, merged] = ["adapter", "merged"].map((x) => join(dir, `${name}-${kind}-${x}`))
  const adapter: Tensors = new Map()
  const modules = [...tensors.keys()].flatMap((x) => {
    const module = x.replace(/\.weight$/, "")
    return x.endsWith(".weight") && targets.some((end) => module.endsWith(`.${end}`)) ? module : []
  })
  for (const [i, module] of modules.entries()) {
    const { shape, values } = tensors.get(`${module}.weight`) as Filed
    const [N, K] = shape as [number, number]
    // The first target's rank is another's, by a pattern.
    const r = module.endsWith(`.${targets[0]}`) ? otherRank : rank
    const [a, b] = [drawn([r, K], 3 * i, 0.3), drawn([N, r], 3 * i + 1, 0.3)]
    const m = drawn([N], 3 * i + 2, 1)
    const at = `base_model.model.${module}`
    adapter.set(`${at}.lora_A.weight`, a).set(`${at}.lora_B.weight`, b)
    if (kind === "dora") adapter.set(`${at}.lora_magnitude_vector`, m)
    const whole = new Float32Array(values)
    for (let n = 0; n < N; n++) {
      let square = 0
      for (let k = 0; k < K; k++) {
        let low = 0
        for (let j = 0; j < r; j++)
          low += (b.values[n * r + j] as number) * (a.values[j * K + k] as number)
        const x = (whole[n * K + k] as number) + (alpha / r) * low
        whole[n * K + k] = x
        square += x * x
      }
      const ratio = kind === "dora" ? (m.values[n] as number) / Math.sqrt(square) : 1
      for (let k = 0; k < K; k++) whole[n * K + k] = (whole[n * K + k] as number) * ratio
    }
    tensors.set(`${module}.weight`, { shape, values: whole })
  }
  cpSync(model, merged as string, { recursive: true })
  await write(join(merged as string, "model.safetensors"), tensors)
  mkdirSync(folder as string)
  await write(join(folder as string, "adapter_model.safetensors"), adapter)
  const config = {
    ...{ peft_type: "LORA", r: rank, lora_alpha: alpha, use_dora: kind === "dora" },
    ...{ rank_pattern: { [targets[0] as string]: otherRank }, target_modules: targets },
  }
  writeFileSync(join(folder as string, "adapter_config.json"), JSON.stringify(config))
  return { model, folder: folder as string, merged: merged as string, adapter }
}

const llama = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
const cases = [
  ["mobillama-1b", "lora", llama],
  ["mobillama", "dora", ["v_proj", "q_proj", "up_proj"]],
  ["olmo-hf", "dora", llama],
  ["olmo-native", "dora", ["ff_proj", "att_proj", "attn_out", "ff_out"]],
  ["opt-pre-norm", "lora", ["k_proj", "q_proj", "v_proj", "out_proj", "fc1", "fc2"]],
  ["pythia", "dora", ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]],
] as const

for (const [i, [name, kind, targets]] of cases.entries()) {
  t.test(`${kind} by the modules of ${name}'s files`, async (t) => {
    const backend = i % 2 === 0 ? await open("wasm", { threads: 2 }) : new JsBackend()
    const made = await madeFor(name, kind, targets)
    const ids = [
      [1, 9, 13, 27, 6, 30],
      [5, 2, 8, 1, 4, 3],
    ]
    const merged = await LanguageModel.load(made.merged, { backend })
    const want = await merged.logits(ids)
    const model = await LanguageModel.load(made.model, { backend })
    const plain = await model.logits(ids)
    t.ok(relativeError(plain, want) > 1e-2)
    const adapter = await loadAdapter(model, made.folder)
    const error = relativeError(await model.logits(ids), want)
    t.ok(error < 2e-5, `logits are off by ${error}`)
    const out = join(dir, `${name}-out`)
    await adapter.save(out)
    t.same(await filed(join(out, "adapter_model.safetensors")), made.adapter)
    const json = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"))
    t.same(json.target_modules, [...targets].sort())
    adapter.scale = 0
    if (kind === "lora") t.ok(relativeError(await model.logits(ids), plain) < 1e-6)
    await merged.close()
    await model.close()
    backend.close()
  })
}

t.test("parts of a fused weight learn by themselves", async (t) => {
  const backend = new JsBackend()
  const [inputs, targets] = [[[1, 9, 13, 27, 6, 30, 5, 2]], [[9, 13, 27, 6, 30, 5, 2, 1]]]
  for (const kind of ["lora", "dora"] as const) {
    const model = await LanguageModel.load(fixture("models/mobillama-1b"), { backend })
    const plain = await model.logits(inputs)
    const ends = ["q_proj", "v_proj", "gate_proj", "up_proj"]
    const adapter = await addAdapter(model, { kind, rank: 3, alpha: 6, targets: ends })
    t.ok(relativeError(await model.logits(inputs), plain) < 1e-6, `${kind}: nothing changes`)
    const options = { adapter, zLoss: 0, weightDecay: 0 }
    const before = await lossAndGradients(model, inputs, targets, options)
    const step = await createTrainStep(model, options)
    for (let i = 0; i < 3; i++) await step(inputs, targets, { lr: 1e-2 })
    const after = await lossAndGradients(model, inputs, targets, options)
    t.ok(after.loss < before.loss - 0.05, `${kind}: ${before.loss} → ${after.loss}`)
    const gradients = Object.values(after.gradients).flatMap((g) => [...g])
    const square = gradients.reduce((sum, x) => sum + x * x, 0)
    const clip = Number.POSITIVE_INFINITY
    const sgd = await createTrainStep(model, { ...options, optimizer: optimizers.sgd(), clip })
    await sgd(inputs, targets, { lr: 1e-5 })
    const moved = await lossAndGradients(model, inputs, targets, options)
    const slope = (after.loss - moved.loss) / 1e-5
    // Norms count as constants: DoRA's gradients are not quite those of its loss.
    t.ok(
      Math.abs(slope / square - 1) < (kind === "lora" ? 0.02 : 0.1),
      `${kind}: slope ${slope}, ${square}`,
    )
    const now = await model.logits(inputs)
    await adapter.save(join(dir, `learnt-${kind}`))
    const again = await LanguageModel.load(fixture("models/mobillama-1b"), { backend })
    await loadAdapter(again, join(dir, `learnt-${kind}`))
    t.ok(relativeError(await again.logits(inputs), now) < 1e-6, `${kind}: saved and read`)
    for (const each of [step, sgd, model, again]) await each.close()
  }
})

t.test("modules and ranks that a family's files do not have are one message", async (t) => {
  const backend = new JsBackend()
  const model = await LanguageModel.load(fixture("models/mobillama-1b"), { backend })
  const message =
    /no matrix of .* is called "query_key_value". Its matrices are called .*q_proj, k_proj/
  await t.rejects(addAdapter(model, { targets: ["query_key_value"] }), { message })
  const { folder } = await madeFor("opt-350m", "lora", ["q_proj"])
  await t.rejects(loadAdapter(model, folder), { name: "RangeError" })
  const { folder: own } = await madeFor("mobillama-1b", "dora", ["q_proj"])
  const path = join(own, "adapter_config.json")
  const json = JSON.parse(readFileSync(path, "utf8"))
  writeFileSync(path, JSON.stringify({ ...json, rank_pattern: {} }))
  await t.rejects(loadAdapter(model, own), {
    message: /q_proj.*is \[2, \d+\], this model's takes \[3/,
  })
  await model.close()
})
