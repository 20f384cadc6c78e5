// `elm quantize`: the folder that it writes loads to the very bytes that loading its source in the
// same format gives; damage is refused, and so is what the command cannot do.
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { cp, readFile, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { openWasm } from "../backends/wasm/index.ts"
import { readBound } from "../engine/index.ts"
import { OpenELM, open, scaledConfig } from "../index.ts"
import {
  configJson,
  openSafetensors,
  quantizedFormats,
  tensorShapes,
  writeSafetensors,
} from "../model/index.ts"
import { type Ended, endsOf } from "./command.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const run = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, [elm, ...args], { timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr }),
    )
  })

const golden = goldenFolder()
const dir = mkdtempSync(join(tmpdir(), "openelm-quantize-"))
t.teardown(() => {
  golden.remove()
  rmSync(dir, { recursive: true })
})

/** A model whose widths are no multiples of 32 and whose embedding takes several stagings. */
async function writeModel(path: string): Promise<void> {
  mkdirSync(path)
  const config = scaledConfig({
    layers: 2,
    modelDim: 200,
    headDim: 10,
    vocabSize: 23_003,
    ffnDivisor: 24,
    maxContext: 64,
  })
  await writeFile(join(path, "config.json"), JSON.stringify(configJson(config)))
  const entries = [...tensorShapes(config)].map(([name, { shape }], n) => {
    const size = shape.reduce((a, b) => a * b, 1)
    const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i + n) / 20)
    return [name, { dtype: "F32" as const, shape, data }] as const
  })
  await writeSafetensors(join(path, "model.safetensors"), new Map(entries))
}

const wide = join(dir, "wide")
await writeModel(wide)

/** All bytes of the weights, and logits. */
async function contents(model: OpenELM): Promise<unknown> {
  const bytes: Buffer[] = []
  for (const tensor of model.tensors.values()) {
    const values = await readBound(tensor, model.backend)
    bytes.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
  }
  return { dtype: model.dtype, bytes, logits: await model.logits([[1, 2, 3]]) }
}

for (const format of quantizedFormats) {
  t.test(`a folder in ${format} loads as its source does in ${format}`, async (t) => {
    for (const [source, counts] of [
      [golden.path, [1, 2]],
      [wide, [2]],
    ] as const) {
      for (const threads of counts) {
        const out = join(dir, "deep", `${format}-${threads}-${source === wide}`)
        const options = ["--dtype", format, "--threads", String(threads)]
        const { code, stdout, stderr } = await run("quantize", source, out, ...options)
        t.same([code, stderr], [0, ""])
        t.match(
          stdout,
          / [KM]iB to .* [KM]iB in q[48], .* s\nrelative RMS error of the matrices 0\.\d+/,
        )
        t.same(readdirSync(out).sort(), ["config.json", "model.safetensors"])
        await using backend = await open("wasm", { threads })
        await using want = await OpenELM.load(source, { backend, dtype: format })
        await using got = await OpenELM.load(out, { backend })
        t.ok(sameContents(await contents(got), await contents(want)), `${threads} threads`)
        t.equal(got.weightBytes, want.weightBytes)
        await using named = await OpenELM.load(out, { backend, dtype: format })
        t.equal(named.dtype, format)
      }
    }
  })
}

const sameContents = (a: unknown, b: unknown): boolean => {
  const [x, y] = [a, b] as { dtype: string; bytes: Buffer[]; logits: Float32Array }[]
  if (!x || !y || x.dtype !== y.dtype || x.bytes.length !== y.bytes.length) return false
  const logits = x.logits.length > 0 && x.logits.every((v, i) => Object.is(v, y.logits[i]))
  return logits && x.bytes.every((bytes, i) => bytes.equals(y.bytes[i] as Buffer))
}

t.test("a quantized folder says what it holds, and damage is refused", async (t) => {
  const made = join(dir, "q4")
  t.equal((await run("quantize", golden.path, made, "--dtype", "q4")).code, 0)
  await using backend = await openWasm({ threads: 1 })
  const { usedBytes } = backend
  const load = (path: string) => OpenELM.load(path, { backend })
  for (const dtype of ["f32", "q8"] as const) {
    await t.rejects(OpenELM.load(made, { backend, dtype }), {
      name: "RangeError",
      message: `${made} holds weights in q4, got dtype "${dtype}". Leave dtype out`,
    })
  }
  const config = JSON.parse(await readFile(join(made, "config.json"), "utf8"))
  t.same(config.quantization, { format: "q4" })
  const weights = await readFile(join(made, "model.safetensors"))

  /** A copy with another config field, or with other weights. */
  const damaged = async (label: string, quantization: unknown, bytes: Uint8Array = weights) => {
    const path = join(dir, label)
    await cp(made, path, { recursive: true })
    await writeFile(join(path, "config.json"), JSON.stringify({ ...config, quantization }))
    await writeFile(join(path, "model.safetensors"), bytes)
    return path
  }
  const q4 = { format: "q4" }
  const refused = { name: "RangeError", message: /openelm-q4\/1.*Quantize the model again/ }
  await t.rejects(load(await damaged("as-q8", { format: "q8" })), refused)
  await t.rejects(load(await damaged("as-plain", undefined)), refused)
  await t.rejects(load(await damaged("as-q5", { format: "q5" })), /quantization is .*q5/)
  await t.rejects(load(await damaged("cut", q4, weights.subarray(0, -100))), {
    name: "SyntaxError",
  })
  const text = weights.toString("latin1")
  const unmarked = Buffer.from(text.replace('"openelm-q4/1"', '"openelm-q4/2"'), "latin1")
  await t.rejects(load(await damaged("newer", q4, unmarked)), { message: /openelm-q4\/2/ })

  const name = "layers.1.ffn.proj_1.weight"
  const file = await openSafetensors(join(made, "model.safetensors"))
  const entry = file.tensors.get(name)
  if (!entry) throw new Error(`${name} is missing`)
  const { offset, shape, bytes } = entry
  await file.close()
  t.same([shape.length, shape[2], bytes], [3, 288, shape.reduce((a, b) => a * b, 1)])
  for (const [label, word] of [
    ["nan", 0x7fc0],
    ["infinite", 0xff80],
  ] as const) {
    const bad = Buffer.from(weights)
    bad.writeUInt16LE(word, offset + 288 + 256 + 2 * 5)
    await t.rejects(load(await damaged(label, q4, bad)), {
      name: "RangeError",
      message: /layers\.1\.ffn\.proj_1\.weight: 1 scales .* NaN or infinite.*damaged/,
    })
  }
  const swapped = JSON.stringify(shape)
  const other = JSON.stringify([shape[1], shape[0], 288])
  const mixed = Buffer.from(text.replaceAll(swapped, other), "latin1")
  await t.rejects(load(await damaged("mixed", q4, mixed)), /has shape .*expected \[/)
  const retyped = Buffer.from(text.replaceAll('"U8"', '"I8"'), "latin1")
  await t.rejects(load(await damaged("typed", q4, retyped)), {
    name: "TypeError",
    message: /is I8, expected U8/,
  })
  t.equal(backend.usedBytes, usedBytes, "and nothing is left allocated")
})

t.test("quantize refuses what it cannot do, and leaves things as they are", async (t) => {
  const made = join(dir, "source-q8")
  t.equal((await run("quantize", golden.path, made, "--dtype", "q8")).code, 0)
  const full = join(dir, "full")
  mkdirSync(full)
  await writeFile(join(full, "letter.txt"), "dear")
  const broken = join(dir, "broken")
  await cp(golden.path, broken, { recursive: true })
  const weights = await readFile(join(broken, "model.safetensors"))
  const file = await openSafetensors(join(broken, "model.safetensors"))
  weights.writeUInt32LE(0x7fc00000, file.tensors.get("layers.0.attn.qkv_proj.weight")?.offset ?? 0)
  await file.close()
  await writeFile(join(broken, "model.safetensors"), weights)
  const fresh = join(dir, "fresh")
  const cases: readonly [string[], number, RegExp][] = [
    [[join(dir, "nowhere"), fresh, "--dtype", "q4"], 1, /nowhere.*no such file/],
    [[golden.path, full, "--dtype", "q4"], 1, /full is not empty: it has letter\.txt/],
    [[golden.path, join(full, "letter.txt"), "--dtype", "q4"], 1, /letter\.txt is not a folder/],
    [[golden.path, join(full, "letter.txt", "x"), "--dtype", "q4"], 1, /letter\.txt/],
    [[made, fresh, "--dtype", "q4"], 1, /source-q8 holds weights in q8 already/],
    [[golden.path, fresh, "--dtype", "bf16"], 2, /bf16.*Allowed choices are q8, q4/],
    [[golden.path, fresh], 2, /required option '--dtype <name>'/],
    [[golden.path, "--dtype", "q4"], 2, /missing required argument 'out'/],
    [[golden.path, fresh, "--dtype", "q4", "--threads", "0"], 2, /whole number from 1/],
  ]
  const ends = await endsOf(cases.map(([args]) => ["quantize", ...args]))
  for (const [i, [args, want, message]] of cases.entries()) {
    const { code, stderr } = ends[i] as Ended
    t.equal(code, want, args.join(" "))
    t.match(stderr, message)
    t.notMatch(stderr, /^\s+at /m, "no stack")
    t.notOk(existsSync(fresh))
  }
  t.same(readdirSync(full), ["letter.txt"])
  const failed = await run("quantize", broken, fresh, "--dtype", "q4")
  t.equal(failed.code, 1)
  t.match(failed.stderr, /layers\.0\.attn\.qkv_proj\.weight: 1 of its .* NaN or infinite/)
  t.notOk(existsSync(fresh), "nothing half-written")
  mkdirSync(fresh)
  t.equal((await run("quantize", golden.path, fresh, "--dtype", "q4")).code, 0, "empty is fine")
  const bench = ["bench", "--weights", fresh, "--prompt", "3", "--generate", "4", "--repeat", "1"]
  t.match((await run(...bench)).stdout, /"dtype":"q4"/, "and bench takes the folder's own dtype")
})
