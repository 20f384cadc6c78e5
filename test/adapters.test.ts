// LoRA and DoRA against the golden numbers of the original (test/fixtures/peft, tune) and PEFT's own
// folders: logits, gradients, updates, what is written; and what is refused.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { JsBackend } from "../backends/js/index.ts"
import { readTensors } from "../engine/index.ts"
import {
  addAdapter,
  createTrainStep,
  LanguageModel,
  loadAdapter,
  lossAndGradients,
  mergeAdapter,
  ops,
  type Tensor,
} from "../index.ts"
import { openSafetensors, specsOf } from "../model/index.ts"
import { allBackends, relativeError } from "./backends.ts"
import { fixture, fixtureJson, golden, goldenFolder, goldenOf, peftBase } from "./fixtures.ts"
import t from "./tap.ts"

const kinds = ["lora", "dora"] as const
const { path: base, remove } = peftBase()
t.teardown(remove)

/** CoreNet's name of a tensor, by ours. */
const coreNet = (name: string): string =>
  name
    .replace(/(lora_[AB])\.weight$/, "$1.lora.weight")
    .replace(/(lora_magnitude_vector|lora_embedding_[AB])$/, "$1.lora")

const limit = 2e-5
/** Of what training moved, absolute. */
const movedLimit = 2e-6

interface Micro {
  readonly input_ids: number[][]
  readonly targets: number[][]
}

for (const { label, open } of allBackends) {
  t.test(`adapters on ${label} are the original's`, async (t) => {
    const backend = await open()
    const trained = await golden("tune/adapter_train.safetensors")
    const recipe = fixtureJson("tune/adapter_train.json")
    for (const kind of kinds) {
      const { input_ids, targets, ignore_index, loss } = fixtureJson(`peft/${kind}.json`)
      const want = await golden(`peft/${kind}_expected.safetensors`)
      const model = await LanguageModel.load(base, { backend })
      const plain = await model.logits(input_ids)
      const file = fixture(`peft/${kind}_adapter.safetensors`)
      const adapter = await loadAdapter(model, file, { alpha: 8 })
      const logits = await model.logits(input_ids)
      t.ok(relativeError(logits, goldenOf(want, "logits").values) < limit, `${kind}: logits`)

      const options = { adapter, ignoreIndex: ignore_index }
      const found = await lossAndGradients(model, input_ids, targets, options)
      t.ok(Math.abs(found.loss - loss.f64.total_loss) < 7e-6, `${kind}: loss ${found.loss}`)
      t.same(Object.keys(found.gradients), [...adapter.tensors.keys()])
      for (const [name, gradient] of Object.entries(found.gradients)) {
        const error = relativeError(gradient, goldenOf(want, `grad.${coreNet(name)}`).values)
        t.ok(error < limit, `${kind}: gradient of ${name}: ${error}`)
      }

      const step = await createTrainStep(model, {
        ...options,
        betas: recipe.adamw.betas,
        weightDecay: 0,
        clip: recipe.grad_clip,
        accumulation: 2,
        accumulate: "sum",
      })
      const micro: Micro[] = recipe.micro_batches
      for (const [i, { lr, micro: losses, grad_norm_before_clip: norm }] of recipe.runs[
        kind
      ].steps.entries()) {
        const parts = micro.slice(2 * i, 2 * i + 2)
        const rows = (of: (part: Micro) => number[][]) => parts.flatMap(of)
        const got = await step(
          rows((part) => part.input_ids),
          rows((part) => part.targets),
          { lr },
        )
        const mean = (losses[0].total_loss + losses[1].total_loss) / 2
        t.ok(Math.abs(got.loss - mean) < 7e-6, `${kind}: loss of update ${i}: ${got.loss}`)
        t.ok(Math.abs(got.gradNorm / norm - 1) < limit, `${kind}: norm of update ${i}`)
      }
      await step.close()
      const folder = join(base, `${kind}-${label.replace(/\W+/g, "-")}`)
      await adapter.save(folder)
      const saved = await filed(join(folder, "adapter_model.safetensors"))
      for (const name of adapter.tensors.keys()) {
        const { values } = goldenOf(trained, `${kind}/after3/${coreNet(name)}`)
        const now = at(saved, `base_model.model.transformer.${name}`).values
        const error = Math.max(...values.map((x, n) => Math.abs(x - (now[n] as number))))
        t.ok(error < movedLimit, `${kind}: ${name} after three updates: ${error}`)
      }
      const after = goldenOf(trained, `${kind}/logits_after3`).values
      const ids = (micro[0] as Micro).input_ids
      t.ok(relativeError(await model.logits(ids), after) < limit, `${kind}: logits after them`)

      await t.rejects(mergeAdapter(model, adapter), { message: /tied: "drop".*tied: "keep"/ })
      await mergeAdapter(model, adapter, { tied: "keep" })
      t.ok(relativeError(await model.logits(ids), after) < limit, `${kind}: merged`)
      for (const { name, shape, halves, matrix } of specsOf(model.config)) {
        const key = `${kind}/merged/${name}`
        if (!matrix || !trained.has(key)) continue
        const [N, K] = shape as [number, number]
        const panels = model.tensors.get(name) as Tensor
        const [rows = []] = await readTensors(
          [ops.unpack(panels, { N, K, Halves: halves, dtype: "f32" })],
          backend,
        )
        const error = relativeError(rows as Float32Array, goldenOf(trained, key).values)
        t.ok(error < limit, `${kind}: ${name} merged: ${error}`)
      }
      await adapter.close()
      t.notSame(await model.logits(input_ids), plain)
      await model.close()
    }
    t.equal((backend as { liveCount?: number }).liveCount ?? 0, 0, "everything is freed")
    backend.close()
  })
}

t.test("PEFT's own folders are read, and written as they were", async (t) => {
  const backend = new JsBackend()
  for (const kind of kinds) {
    const folder = fixture(`tune/peft_library_${kind}`)
    const { input_ids } = fixtureJson(`tune/peft_library_${kind}/expected.json`)
    const want = await golden(`tune/peft_library_${kind}/expected.safetensors`)
    const model = await LanguageModel.load(base, { backend })
    const adapter = await loadAdapter(model, folder)
    const error = relativeError(await model.logits(input_ids), goldenOf(want, "logits").values)
    t.ok(error < limit, `${kind}: logits ${error}`)
    const out = join(base, `again-${kind}`)
    await adapter.save(out)
    t.same(
      await filed(join(out, "adapter_model.safetensors")),
      await filed(join(folder, "adapter_model.safetensors")),
      kind,
    )
    const json = (path: string) =>
      JSON.parse(readFileSync(join(path, "adapter_config.json"), "utf8"))
    const [given, written] = [json(folder), json(out)]
    for (const [name, value] of Object.entries(written)) t.same(value, given[name], name)
    // CoreNet's state dict of the same model, by torch.save.
    const state = await loadAdapter(model, fixture(`pt/${kind}_full_state.pt`), { alpha: 8 })
    const whole = await golden(`peft/${kind}_expected.safetensors`)
    const ids = fixtureJson(`peft/${kind}.json`).input_ids
    const off = relativeError(await model.logits(ids), goldenOf(whole, "logits").values)
    t.ok(off < limit, `${kind}: logits of the state dict ${off}`)
    // One after the other, without loading again.
    model.adapter = adapter
    t.ok(relativeError(await model.logits(input_ids), goldenOf(want, "logits").values) < limit)
    adapter.scale = 0
    if (kind === "lora") {
      const scaled = await model.logits(input_ids)
      model.adapter = undefined
      t.ok(relativeError(scaled, await model.logits(input_ids)) < 1e-7, "scale 0 leaves it out")
    }
    await state.close()
    await model.close()
    await t.rejects(adapter.save(out), { message: /closed/ })
  }
})

t.test("what is no adapter of a model is one error", async (t) => {
  const backend = new JsBackend()
  const model = await LanguageModel.load(base, { backend })
  const broken = (name: string, change: (json: Record<string, unknown>) => void): string => {
    const from = fixture("tune/peft_library_lora")
    const folder = join(base, name)
    mkdirSync(folder)
    copyFileSync(join(from, "adapter_model.safetensors"), join(folder, "adapter_model.safetensors"))
    const json = JSON.parse(readFileSync(join(from, "adapter_config.json"), "utf8"))
    change(json)
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(json))
    return folder
  }
  const cases: readonly [string, (json: Record<string, unknown>) => void, RegExp][] = [
    [
      "kind",
      (json) => Object.assign(json, { peft_type: "IA3" }),
      /peft_type is "IA3", expected "LORA"/,
    ],
    ["rank", (json) => Object.assign(json, { r: 5 }), /is \[4, 48\], this model's takes \[5, 48\]/],
    ["bias", (json) => Object.assign(json, { bias: "all" }), /bias is "all", expected "none"/],
    ["saved", (json) => Object.assign(json, { modules_to_save: ["norm"] }), /modules_to_save/],
    [
      "start",
      (json) => Object.assign(json, { init_lora_weights: "pissa_niter_4" }),
      /init_lora_weights is "pissa_niter_4", expected a start that leaves the base/,
    ],
    [
      "layers",
      (json) => Object.assign(json, { layer_replication: [[0, 2]] }),
      /layer_replication is .*, expected none/,
    ],
    ["alpha", (json) => Object.assign(json, { lora_alpha: "8" }), /lora_alpha is "8"/],
    ["dora", (json) => Object.assign(json, { use_dora: true }), /has no .*lora_magnitude_vector/],
  ]
  for (const [name, change, message] of cases) {
    await t.rejects(loadAdapter(model, broken(name, change)), { message }, name)
  }
  const dora = fixture("tune/peft_library_dora")
  const plain = broken("magnitudes", (json) => Object.assign(json, { use_dora: false }))
  const weights = "adapter_model.safetensors"
  copyFileSync(join(dora, weights), join(plain, weights))
  await t.rejects(loadAdapter(model, plain), { message: /lora_magnitude_vector".* kind lora does/ })
  t.equal(model.adapter, undefined)
  // What PEFT passes over, too: these layers have no columns as rows.
  const turned = broken("turned", (json) => Object.assign(json, { fan_in_fan_out: true }))
  await (await loadAdapter(model, turned)).close()
  await t.rejects(loadAdapter(model, base), { message: /holds no adapter_model.safetensors/ })
  await t.rejects(loadAdapter(model, fixture("peft/lora_adapter.safetensors")), {
    message: /its alpha/,
  })
  const { path, remove } = goldenFolder()
  t.teardown(remove)
  const other = await LanguageModel.load(path, { backend })
  await t.rejects(loadAdapter(other, fixture("tune/peft_library_lora")), {
    name: "RangeError",
    message: /this model's takes|no matrix of/,
  })
  await t.rejects(addAdapter(model, { targets: ["k_proj"] }), {
    message:
      /no matrix of nano is called "k_proj". Its matrices are called token_embeddings, qkv_proj/,
  })
  await t.rejects(addAdapter(model, { rank: 0 }), { message: /rank must be a whole number from 1/ })
  const adapter = await addAdapter(model, { rank: 2 })
  t.throws(() => {
    other.adapter = adapter
  }, /for this model/)
  const others = { name: "TypeError", message: /gave for this model, got an object/ }
  await t.rejects(mergeAdapter(other, adapter), others)
  await t.rejects(createTrainStep(other, { adapter }), others)
  await adapter.close()
  t.equal(model.adapter, undefined)
  const quantized = await LanguageModel.load(base, { backend, dtype: "q8" })
  await t.rejects(mergeAdapter(quantized, await addAdapter(quantized, { targets: ["out_proj"] })), {
    message: /rounded a second time/,
  })
  for (const each of [model, other, quantized]) await each.close()
})

t.test(
  "patterns mean modules as PEFT has them: by whole names, their ends, expressions",
  async (t) => {
    const model = await LanguageModel.load(base, { backend: new JsBackend() })
    const sizeWith = async (rankPattern: Readonly<Record<string, number>>) => {
      const adapter = await addAdapter(model, { rank: 2, targets: ["qkv_proj"], rankPattern })
      await adapter.close()
      return adapter.parameters
    }
    // Of the first of two layers, 16 inputs and 32 outputs: three more ranks.
    const usual = await sizeWith({})
    const first = [
      "transformer.layers.0.attn.qkv_proj",
      "^transformer.layers.0.attn.qkv_proj",
      "layers.0.attn.qkv_proj",
      "layers\\.0\\..*qkv\\_proj",
    ]
    for (const key of first) t.equal(await sizeWith({ [key]: 5 }), usual + 3 * 48, key)
    t.equal(
      await sizeWith({ "1.attn.qkv_proj": 2, qkv_proj: 5 }),
      usual + 3 * 48,
      "the first counts",
    )
    t.equal(await sizeWith({ v_proj: 5, "0.attn": 5 }), usual, "parts of names are none")
    await model.close()
  },
)

const at = (all: Awaited<ReturnType<typeof filed>>, name: string) =>
  all.get(name) ?? { values: new Float32Array() }

/** Every tensor of a file. */
async function filed(
  path: string,
): Promise<Map<string, { shape: readonly number[]; values: Float32Array }>> {
  const file = await openSafetensors(path)
  const all = new Map<string, { shape: readonly number[]; values: Float32Array }>()
  for (const [name, { shape, bytes }] of file.tensors) {
    const raw = new Uint8Array(bytes)
    await file.read(name, 0, raw)
    all.set(name, { shape, values: new Float32Array(raw.buffer) })
  }
  await file.close()
  return all
}
