// Models from folders: shapes of names and dtypes that load, and damage that is refused.
import { mkdtempSync, rmSync } from "node:fs"
import { cp, readFile, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWasm, type WasmOptions } from "../backends/wasm/index.ts"
import { type DType, encode } from "../engine/index.ts"
import { OpenELM, open, scaledConfig } from "../index.ts"
import { configJson, openSafetensors, tensorShapes, writeSafetensors } from "../model/index.ts"
import { relativeError } from "./backends.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

t.test("a folder loads by any prefix and dtype, and refuses numbers that are none", async (t) => {
  const golden = goldenFolder()
  const dir = mkdtempSync(join(tmpdir(), "openelm-folders-"))
  t.teardown(() => {
    golden.remove()
    rmSync(dir, { recursive: true })
  })
  await using backend = await open("wasm", { threads: 2 })
  const ids = [[1, 2, 3, 4]]
  const logitsOf = async (path: string): Promise<Float32Array> => {
    await using model = await OpenELM.load(path, { backend })
    return model.logits(ids)
  }
  const want = await logitsOf(golden.path)

  const file = await openSafetensors(join(golden.path, "model.safetensors"))
  const tensors = await Promise.all(
    [...file.tensors].map(async ([name, { shape, bytes }]) => {
      const data = new Uint8Array(bytes)
      await file.read(name, 0, data)
      return { name, shape, values: new Float32Array(data.buffer) }
    }),
  )
  await file.close()

  /** The golden model written anew, each number and name changed. */
  const rewritten = async (
    label: string,
    change: {
      rename?: (name: string) => string
      dtype?: DType
      value?: (name: string, v: number, i: number) => number
    },
  ) => {
    const path = join(dir, label)
    await cp(golden.path, path, { recursive: true })
    const { rename = (n) => n, dtype = "f32", value = (_n, v) => v } = change
    const entries = tensors.map(({ name, shape, values }) => {
      const data = encode(
        dtype,
        values.map((v, i) => value(name, v, i)),
      )
      return [rename(name), { dtype: dtype.toUpperCase() as "F32", shape, data }] as const
    })
    await writeSafetensors(join(path, "model.safetensors"), new Map(entries))
    return path
  }

  t.same(await logitsOf(await rewritten("prefixed", { rename: (n) => `transformer.${n}` })), want)
  t.ok(relativeError(await logitsOf(await rewritten("halves", { dtype: "f16" })), want) < 1e-2)
  t.ok(relativeError(await logitsOf(await rewritten("brains", { dtype: "bf16" })), want) < 1e-1)
  const bad = (name: string, value: number) => (n: string, v: number, i: number) =>
    n === name && i === 5 ? value : v
  const matrix = await rewritten("nan", { value: bad("layers.1.ffn.proj_1.weight", Number.NaN) })
  await t.rejects(logitsOf(matrix), {
    name: "RangeError",
    message: /layers\.1\.ffn\.proj_1\.weight: 1 of its \d+ numbers are NaN or infinite/,
  })
  const vector = await rewritten("inf", { value: bad("norm.weight", Number.POSITIVE_INFINITY) })
  await t.rejects(logitsOf(vector), {
    name: "RangeError",
    message: /inf.model\.safetensors: norm\.weight: 1 of its 48/,
  })
  const wide = await rewritten("wide", { value: bad("layers.0.attn.out_proj.weight", 1e6) })
  await t.rejects(OpenELM.load(wide, { backend, dtype: "f16" }), /infinite in f16.*try f32/)
  const cut = await rewritten("cut", {})
  const whole = await readFile(join(cut, "model.safetensors"))
  await writeFile(join(cut, "model.safetensors"), whole.subarray(0, whole.length - 100))
  await t.rejects(logitsOf(cut), { name: "SyntaxError" })
  await t.rejects(logitsOf(join(dir, "missing")), /missing/)
  t.same(await logitsOf(golden.path), want, "and nothing is lost")
})

t.test("a folder loads into several memories as into one", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "openelm-large-"))
  t.teardown(() => rmSync(dir, { recursive: true }))
  // Matrices of more than one staging buffer, so that they come in parts.
  const config = scaledConfig({
    layers: 6,
    modelDim: 512,
    headDim: 64,
    vocabSize: 9_000,
    ffnMultipliers: [1, 1],
    maxContext: 64,
  })
  await writeFile(join(dir, "config.json"), JSON.stringify(configJson(config)))
  const entries = [...tensorShapes(config)].map(([name, { shape }], n) => {
    const size = shape.reduce((a, b) => a * b, 1)
    const data = Float32Array.from(
      { length: size },
      (_, i) => ((i * 7 + n) % 1001) / 20_000 - 0.025,
    )
    return [name, { dtype: "F32" as const, shape, data }] as const
  })
  await writeSafetensors(join(dir, "model.safetensors"), new Map(entries))
  const logits = async (options: WasmOptions) => {
    await using backend = await openWasm({ threads: 2, ...options })
    await using model = await OpenELM.load(dir, { backend })
    return { values: await model.logits([[1, 2, 3]]), instances: backend.instanceCount }
  }
  const [one, several] = [await logits({}), await logits({ instanceBytes: 40 << 20 })]
  t.ok(several.instances > 1, `${several.instances} memories`)
  t.same(several.values, one.values)
})
