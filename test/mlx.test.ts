// Folders of MLX: CoreNet's port and mlx-lm's, plain and quantized.
import { createHash } from "node:crypto"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { configOf, OpenELM, open } from "../index.ts"
import type { PlainDType } from "../model/checkpoints/header.ts"
import { plainName } from "../model/checkpoints/names.ts"
import { f32Rows } from "../model/checkpoints/numbers.ts"
import { openCheckpoint, readConfig, writeSafetensors } from "../model/index.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

const expected = fixtureJson("mlx/expected.json")
const dir = mkdtempSync(join(tmpdir(), "openelm-mlx-"))
t.teardown(() => rmSync(dir, { recursive: true }))

for (const [name, wanted] of Object.entries<(typeof expected)[string]>(expected)) {
  t.test(`${name} holds the golden numbers to the bit, tokens and logits`, async (t) => {
    const checkpoint = await openCheckpoint(fixture(`mlx/${name}`))
    const found = [...checkpoint.tensors.keys()].map(plainName)
    t.same(found.sort(), Object.keys(wanted.tensors).sort())
    for (const tensor of checkpoint.tensors.values()) {
      const { shape, sha256_f32_le: hash } = wanted.tensors[plainName(tensor.name)]
      t.same(tensor.shape, shape, tensor.name)
      const data = new Uint8Array(4 * shape.reduce((a: number, b: number) => a * b, 1))
      await f32Rows(tensor, tensor.form as PlainDType)(0, shape[0], data)
      t.equal(createHash("sha256").update(data).digest("hex"), hash, tensor.name)
    }
    await checkpoint.close()

    const backend = await open("wasm", { threads: 1 })
    const model = await OpenELM.load(fixture(`mlx/${name}`), { backend })
    const { prompt, greedy, logits_last_prompt_position: logits } = wanted
    const tokens: number[] = []
    const options = { temperature: 0, maxNewTokens: greedy.length }
    for await (const { id } of model.generate(prompt, options)) tokens.push(id)
    t.same(tokens, greedy)
    const last = (await model.logits([prompt])).slice(-logits.length)
    const most = Math.max(...logits.map(Math.abs))
    const off = Math.max(...logits.map((x: number, i: number) => Math.abs(x - (last[i] ?? 0))))
    t.ok(off / most < 2e-5, `${off / most}`)
    await model.close()
    await backend.close()
  })
}

t.test("a config.json that only names a released size has its widths", async (t) => {
  const folder = mkdtempSync(join(dir, "named"))
  const config = { model_name: "OpenELM-270M", vocab_size: 32128, max_context_length: 1024 }
  writeFileSync(join(folder, "config.json"), JSON.stringify(config))
  const none = { dtype: "F16", shape: [0], data: new Uint8Array() } as const
  await writeSafetensors(join(folder, "weights.safetensors"), new Map([["a", none]]))
  const found = await readConfig(folder)
  t.same(found.ffnDims, configOf("270M").ffnDims)
  t.match(found, { vocabSize: 32128, maxContext: 1024, layers: 16 })
})

t.test("what is quantized otherwise than config.json says is named", async (t) => {
  const folder = join(dir, "wrong")
  cpSync(fixture("mlx/mlx-lm-q8-g32"), folder, { recursive: true })
  const path = join(folder, "config.json")
  const config = JSON.parse(readFileSync(path, "utf8"))
  const refusals: [object, RegExp][] = [
    [{ bits: 4 }, /weight" is U32 .* no matrix of 4 bits in groups of 32/],
    [{ group_size: 64 }, /no matrix of 8 bits in groups of 64/],
    [{ group_size: 1.5 }, /config\.json: quantization has a group_size of 1\.5/],
    [{ bits: 3 }, /config\.json: quantization has 3 bits, expected 2, 4, 8/],
    [{ mode: "mxfp4" }, /config\.json: quantization has the mode "mxfp4", expected "affine"/],
  ]
  for (const [change, message] of refusals) {
    const quantization = { ...config.quantization, ...change }
    writeFileSync(path, JSON.stringify({ ...config, quantization }))
    await t.rejects(openCheckpoint(folder), { message })
  }
  // One layer may have its own.
  const own = { "model.transformer.token_embeddings": { group_size: 32, bits: 8 } }
  const quantization = { group_size: 32, bits: 8, ...own }
  writeFileSync(path, JSON.stringify({ ...config, quantization }))
  await (await openCheckpoint(folder)).close()
})
