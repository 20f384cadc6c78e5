// Models of families that are published in other parts than this engine keeps: saved under the published
// names, they load again as they were.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { LanguageModel, open } from "../index.ts"
import {
  olmoConfig,
  openModel,
  openSafetensors,
  parseConfig,
  type TensorData,
  writeQuantized,
  writeSafetensors,
} from "../model/index.ts"
import t from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

const at = "model.transformer.blocks.0"
const layouts = {
  hf: {
    fields: {
      ...{ hidden_size: 24, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 40 },
      ...{ vocab_size: 51, tie_word_embeddings: true },
    },
    shapes: {
      "model.embed_tokens.weight": [51, 24],
      "model.layers.0.self_attn.q_proj.weight": [24, 24],
      "model.layers.0.mlp.gate_proj.weight": [40, 24],
      "model.layers.0.mlp.up_proj.weight": [40, 24],
    },
    copy: ["lm_head.weight", "model.embed_tokens.weight"],
  },
  native: {
    fields: { d_model: 24, n_layers: 1, n_heads: 2, mlp_hidden_size: 80, vocab_size: 51 },
    shapes: {
      "model.transformer.wte.weight": [51, 24],
      [`${at}.att_proj.weight`]: [72, 24],
      [`${at}.ff_proj.weight`]: [80, 24],
    },
    copy: ["model.transformer.ff_out.weight", "model.transformer.wte.weight"],
  },
} as const

for (const [layout, { fields, shapes, copy }] of Object.entries(layouts)) {
  t.test(`a model in the ${layout} layout saves as it is published, and loads again`, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "openelm-published-"))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const config = olmoConfig({ ...fields, model_name: "made" }, "config.json")
    await using made = await LanguageModel.random(config, { backend, seed: 5 })
    const want = await made.logits([[1, 2, 3]])
    const logits = async (path = dir, options = {}): Promise<Float32Array> => {
      await using model = await LanguageModel.load(path, { backend, ...options })
      return model.logits([[1, 2, 3]])
    }
    await made.save(dir)
    const file = await openSafetensors(join(dir, "model.safetensors"))
    for (const [name, shape] of Object.entries(shapes)) {
      t.same(file.tensors.get(name)?.shape, shape, name)
    }
    t.same(await logits(), want)

    // Panels are kept as this engine has them, each weight in one tensor.
    const opened = await openModel(dir)
    await writeQuantized(opened, join(dir, "q8"), backend, "q8")
    await opened.close()
    t.same(await logits(join(dir, "q8")), await logits(dir, { dtype: "q8" }), "quantized")

    // The output of a tied model may be in the file as well.
    const tensors = new Map<string, TensorData & { readonly data: Uint8Array }>()
    for (const [name, { dtype, shape, bytes }] of file.tensors) {
      const data = new Uint8Array(bytes)
      await file.read(name, 0, data)
      tensors.set(name, { dtype, shape, data })
    }
    await file.close()
    const original = tensors.get(copy[1]) as TensorData & { readonly data: Uint8Array }
    const path = join(dir, "model.safetensors")
    await writeSafetensors(path, new Map([...tensors, [copy[0], original]]))
    t.same(await logits(), want, "a copy")
    const other = { ...original, data: original.data.map((byte, i) => (i === 8 ? byte ^ 1 : byte)) }
    await writeSafetensors(path, new Map([...tensors, [copy[0], other]]))
    await t.rejects(logits(), { name: "RangeError", message: /is not the same as/ })
    tensors.delete(copy[1])
    await writeSafetensors(path, new Map([...tensors, [copy[0], original]]))
    t.same(await logits(), want, "the copy alone")
  })
}

t.test(
  "layers that share a feed-forward network: stored under any of them, and all alike",
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "openelm-shared-"))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const fields = {
      ...{ model_type: "llama", hidden_size: 24, num_hidden_layers: 3, num_attention_heads: 2 },
      ...{ intermediate_size: 40, vocab_size: 51 },
    }
    const config = parseConfig({ ...fields, shared_mlp: true }, "config.json")
    await using made = await LanguageModel.random(config, { backend, seed: 5 })
    await made.save(dir)
    // Nothing but the tensors says it.
    writeFileSync(join(dir, "config.json"), JSON.stringify(fields))
    const path = join(dir, "model.safetensors")
    const file = await openSafetensors(path)
    const once = new Map<string, TensorData & { readonly data: Uint8Array }>()
    for (const [name, { dtype, shape, bytes }] of file.tensors) {
      const data = new Uint8Array(bytes)
      await file.read(name, 0, data)
      once.set(name, { dtype, shape, data })
    }
    await file.close()
    const inLayer = (i: number, edit = (data: Uint8Array) => data) =>
      [...once]
        .filter(([name]) => name.includes(".0.mlp."))
        .map(([name, tensor]): [string, typeof tensor] => {
          return [name.replace(".0.", `.${i}.`), { ...tensor, data: edit(tensor.data) }]
        })
    const rest = [...once].filter(([name]) => !name.includes(".0.mlp."))
    const load = async (...networks: ReturnType<typeof inLayer>[]) => {
      await writeSafetensors(path, new Map([...rest, ...networks.flat()]))
      await using model = await LanguageModel.load(dir, { backend })
      return model.logits([[1, 2, 3]])
    }
    const want = await made.logits([[1, 2, 3]])
    t.same(await load(inLayer(1)), want, "under layer 1")
    t.same(await load(inLayer(1), inLayer(2)), want, "under two of three")
    const last = (data: Uint8Array) =>
      data.map((byte, i) => (i === data.length - 3 ? byte ^ 1 : byte))
    const same = { name: "RangeError", message: /is not the same as "model\.layers\.1\.mlp/ }
    await t.rejects(load(inLayer(1), inLayer(2, last)), same)
    const first = (data: Uint8Array) => data.map((byte, i) => (i === 1 ? byte ^ 1 : byte))
    const misses = { name: "RangeError", message: /misses 3 tensors: "layers\.0\.mlp/ }
    await t.rejects(load(inLayer(1), inLayer(2, first)), misses)
  },
)
