// A model of any format written in another: files of other programs byte for byte, round trips to the bit,
// and what is refused.
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bound, bufferOf, read } from "../engine/index.ts"
import { convert, describeModel, OpenELM, open } from "../index.ts"
import type { PlainDType } from "../model/checkpoints/header.ts"
import { f32Rows } from "../model/checkpoints/numbers.ts"
import {
  openCheckpoint,
  openModel,
  type StoredTensor,
  specsOf,
  type WeightDType,
  writerNamed,
  writeSafetensors,
} from "../model/index.ts"
import { valuesOf } from "../model/weights/values.ts"
import { dequantize } from "../ops/index.ts"
import { fixture, fixtureJson, goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-convert-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

let count = 0
/** Writes a model under a new name, which is returned. */
async function converted(from: string, to: string, dtype: WeightDType): Promise<string> {
  const path = join(dir, `${count++}${to === "gguf" ? ".gguf" : ""}`)
  const model = await openModel(from)
  try {
    const request = { model, path, dtype, backend: async () => backend }
    await writerNamed(to, dtype).write(request)
  } finally {
    await model.close()
  }
  return path
}

/** Every tensor of a model in f32, by its name without what families put before it. */
async function numbersOf(from: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(from)
  const found = new Map<string, Float32Array>()
  for (const [name, tensor] of checkpoint.tensors) {
    const data = new Uint8Array(4 * tensor.shape.reduce((a, b) => a * b, 1))
    await f32Rows(tensor, tensor.form as PlainDType)(0, tensor.shape[0] ?? 1, data)
    found.set(name.replace(/^transformer\./, ""), new Float32Array(data.buffer))
  }
  await checkpoint.close()
  return found
}

/** The golden model under the name that llama.cpp's converter gave it. */
function tinyFolder(): string {
  const { path } = goldenFolder()
  t.teardown(() => rmSync(path, { recursive: true }))
  const config = { ...fixtureJson("model/config.json"), model_name: "Tiny A" }
  writeFileSync(join(path, "config.json"), JSON.stringify(config))
  return path
}

t.test("GGUF files are those of llama.cpp's converter, byte for byte", async (t) => {
  const tiny = tinyFolder()
  const cases: [string, WeightDType, string][] = [
    [tiny, "q8", "tiny-a-q8_0"],
    [tiny, "q4", "tiny-a-q4_0"],
    [tiny, "f16", "tiny-a-f16"],
    [fixture("gguf/nano-a-f32.gguf"), "f32", "nano-a-f32"],
    [fixture("gguf/nano-a-f32.gguf"), "bf16", "nano-a-bf16"],
    [fixture("gguf/nano-a-split-00001-of-00003.gguf"), "f32", "nano-a-f32"],
    [fixture("gguf/tiny-a-q8_0.gguf"), "q8", "tiny-a-q8_0"],
    [fixture("gguf/tiny-a-q4_0.gguf"), "q4", "tiny-a-q4_0"],
  ]
  for (const [from, dtype, name] of cases) {
    const path = await converted(from, "gguf", dtype)
    const [made, wanted] = [path, fixture(`gguf/${name}.gguf`)].map((file) => readFileSync(file))
    t.ok(made?.equals(wanted as Buffer), `${from} as ${dtype} is ${name}`)
  }
})

t.test("blocks of 32 quantize as ggml's: the golden wide model keeps them", async (t) => {
  const path = await converted(fixture("gguf/wide-a-q4_0.gguf"), "gguf", "q4")
  const [made, wanted] = await Promise.all([
    numbersOf(path),
    numbersOf(fixture("gguf/wide-a-q4_0.gguf")),
  ])
  for (const [name, values] of wanted) {
    if (!name.startsWith("token")) t.same(made.get(name), values, name)
  }
  const model = await openModel(path)
  const tokenizer = await model.tokenizer()
  t.same(tokenizer?.vocabSize, 420)
  for (const { text, ids } of fixtureJson("data/tokenizer_cases.json").cases) {
    t.same(tokenizer?.encode(text), ids, text)
  }
  await model.close()
})

t.test("plain numbers go from any format to any other to the bit", async (t) => {
  const sources: [string, PlainDType][] = [
    [fixture("pt/checkpoint_f32.pt"), "f32"],
    [fixture("pt/checkpoint_f16.pt"), "f16"],
    [fixture("pt/checkpoint_bf16.pt"), "bf16"],
    [fixture("mlx/corenet-f16"), "f16"],
    [fixture("gguf/nano-a-bf16.gguf"), "f32"],
  ]
  for (const [from, dtype] of sources) {
    const wanted = await numbersOf(from)
    for (const to of ["hf", "mlx", "elm", "gguf"]) {
      const path = await converted(from, to, dtype)
      t.same(await numbersOf(path), wanted, `${from} as ${to}`)
      const again = await converted(path, "hf", dtype)
      t.same(await numbersOf(again), wanted, `and back from ${to}`)
    }
  }
})

t.test("names and config.json of a Hugging Face folder are the release's", async (t) => {
  const path = await converted(fixture("pt/checkpoint_bf16.pt"), "hf", "bf16")
  t.same(readdirSync(path).sort(), ["config.json", "model.safetensors"])
  const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8"))
  t.match(config, { model_type: "openelm", torch_dtype: "bfloat16", num_query_heads: [2, 4] })
  const { tensors, close } = await openCheckpoint(path)
  t.equal(tensors.get("transformer.layers.1.ffn.proj_2.weight")?.dtype, "BF16")
  t.ok([...tensors.keys()].every((name) => name.startsWith("transformer.")))
  await close()
})

for (const [dtype, bits] of [
  ["q8", 8],
  ["q4", 4],
] as const) {
  t.test(`MLX in ${bits} bits is within half a step of each number`, async (t) => {
    const from = fixture("mlx/corenet-q4-g64")
    const path = await converted(from, "mlx", dtype)
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8"))
    const quantization = { group_size: 64, bits, mode: "affine" }
    t.match(config, { quantization, quantization_config: quantization, ffn_multipliers: [1] })
    const [made, wanted] = await Promise.all([numbersOf(path), numbersOf(from)])
    t.equal(made.size, wanted.size)
    let most = 0
    for (const [name, values] of wanted) {
      const others = made.get(name) as Float32Array
      if (values.length < 300) continue
      for (let group = 0; group < values.length; group += 64) {
        const own = values.subarray(group, group + 64)
        const step = (Math.max(...own) - Math.min(...own)) / (2 ** bits - 1)
        const off = own.map((x, i) => Math.abs(x - (others[group + i] as number)))
        // Scale and bias are halves themselves, and the end near 0 may lie half a step outside.
        most = Math.max(most, (Math.max(...off) - 2e-3 * Math.max(...own.map(Math.abs))) / step)
      }
    }
    t.ok(most < 1.05, `${most} steps`)
    t.ok(most > 0, "numbers are quantized")
    const model = await OpenELM.load(path, { backend })
    t.ok((await model.logits([[1, 2, 3]])).every(Number.isFinite))
    await model.close()
  })
}

t.test("panels of this engine widen to the numbers that they stand for", async (t) => {
  const from = fixture("gguf/nano-a-f32.gguf")
  for (const dtype of ["q8", "q4"] as const) {
    const path = await converted(from, "elm", dtype)
    const model = await OpenELM.load(path, { backend })
    t.equal(model.dtype, dtype)
    const widened = await numbersOf(await converted(path, "hf", "f32"))
    for (const { name, matrix, shape, halves } of specsOf(model.config)) {
      if (!matrix) continue
      const panels = model.tensors.get(name)
      if (!panels) throw new Error(name)
      const w = bound(bufferOf(panels), panels.shape, "u8")
      const [N, K] = shape as [number, number]
      const wanted = await read(dequantize(w, { N, K, Halves: halves }), backend)
      t.same(widened.get(name), wanted, `${dtype} ${name}`)
    }
    await model.close()
    const opened = await openModel(path)
    // Rows from the middle of a panel, over the end of the gates.
    const spec = specsOf(opened.config).find(({ halves }) => halves === 2)
    if (!spec) throw new Error("no gated matrix")
    const K = spec.shape[1] as number
    const ranges = [{ start: 3, count: 9 }]
    for await (const piece of valuesOf(opened, spec, ranges, async () => backend)) {
      t.same(piece, widened.get(spec.name)?.slice(3 * K, 12 * K))
    }
    await opened.close()
    const message = new RegExp(`holds weights in ${dtype} already`)
    await t.rejects(converted(path, "elm", dtype), { message })
  }
})

t.test("a program converts in one call, and is told what a model is", async (t) => {
  const source = fixture("gguf/wide-a-q4_k_m.gguf")
  const path = join(dir, "in-one-call")
  const seen: [number, number][] = []
  const onProgress = (done: number, total: number) => seen.push([done, total])
  const config = await convert(source, path, {
    to: "hf",
    dtype: "f32",
    tokenizer: null,
    onProgress,
  })
  const [was, is] = [await describeModel(source), await describeModel(path)]
  t.equal(config.name, was.name)
  t.same(seen.at(-1), [was.parameters, was.parameters])
  t.match(was, { format: "GGUF", tokenizer: { pieces: 420 }, layers: [{ queryHeads: 4 }] })
  t.match(is, { parameters: was.parameters, tokenizer: null, layers: was.layers })
  t.same(
    is.tensors.map(({ dtype }) => dtype),
    ["F32"],
  )
  t.same(await numbersOf(path), await numbersOf(source))
  const elm = { to: "elm", dtype: "q8" } as const
  const out = join(dir, "in-panels")
  await t.rejects(convert(source, out, elm), { name: "TypeError", message: /need a backend/ })
  await convert(source, out, { ...elm, backend })
  t.equal((await describeModel(out)).format, "weights of elm quantize")
  await t.rejects(convert(source, "https://x.example/y", { ...elm, backend }), RangeError)
  await t.rejects(
    convert(source, join(dir, "y"), { to: "hf", dtype: "q8" }),
    /holds f32, f16, bf16/,
  )
})

t.test("numbers that are not finite are written by none", async (t) => {
  const folder = tinyFolder()
  const wide = await numbersOf(folder)
  const { tensors, close } = await openCheckpoint(folder)
  for (const bad of [Number.NaN, 7e4]) {
    const values = new Map(
      [...wide].map(([name, data]) => {
        const { shape } = tensors.get(name) as StoredTensor
        const changed = name.endsWith("3.attn.out_proj.weight") ? data.with(70, bad) : data
        return [name, { dtype: "F32", shape, data: changed }] as const
      }),
    )
    const path = mkdtempSync(join(dir, "bad"))
    copyFileSync(join(folder, "config.json"), join(path, "config.json"))
    await writeSafetensors(join(path, "model.safetensors"), values)
    const before = readdirSync(dir).length
    for (const to of ["hf", "mlx", "gguf", "elm"]) {
      await t.rejects(converted(path, to, "f16"), { message: /NaN or infinite in f?F?16/i }, to)
    }
    if (Number.isNaN(bad)) {
      for (const to of ["mlx", "gguf"]) {
        await t.rejects(converted(path, to, "q8"), { message: /NaN/ }, to)
      }
    }
    t.equal(readdirSync(dir).length, before, "nothing is left")
  }
  await close()
})
