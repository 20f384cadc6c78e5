// Models written as ONNX: the file is read back, its graph run node by node in plain loops, and its logits are
// those of the model.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { convert, OpenELM, open } from "../index.ts"
import { fixture, goldenFolder } from "./fixtures.ts"
import { type Graph, readOnnx, run } from "./onnx.ts"
import t from "./tap.ts"
import { relativeError } from "./tolerance.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-onnx-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const source = goldenFolder()
t.teardown(() => source.remove())

const prompt = [1, 17, 33, 5]
/** As fractions of the largest logit. */
const limits = { f32: 1e-5, q8: 0.05, q4: 0.5 } as const

/** Logits after the last of the ids: those but the last two first, then two alone, by the caches. */
function logitsOf(graph: Graph, ids: readonly number[]): Float32Array {
  const first = run(graph, ids.slice(0, -2), new Map())
  return run(graph, ids.slice(-2), first).get("logits")?.data as Float32Array
}

for (const [dtype, limit] of Object.entries(limits)) {
  t.test(
    `a graph in ${dtype} gives the model's logits, from an empty cache and after it`,
    async (t) => {
      const path = join(dir, dtype)
      const config = await convert(source.path, path, { to: "onnx", dtype: dtype as "f32" })
      const graph = readOnnx(readFileSync(join(path, "model.onnx")), path)
      await using backend = await open("wasm", { threads: 1 })
      await using model = await OpenELM.load(source.path, { backend })
      const want = (await model.logits([prompt])).subarray(-config.vocabSize)
      const error = relativeError(logitsOf(graph, prompt), want)
      t.ok(error < limit, `off by ${error.toExponential(1)}`)
      const bits = dtype === "f32" ? undefined : Number(dtype.slice(1))
      const products = graph.nodes.filter(({ op }) => op === "MatMulNBits")
      t.equal(products.length, bits ? 4 * config.layers + 1 : 0)
      for (const { attributes } of products) t.equal(attributes.get("bits"), bits)
    },
  )
}

t.test("what ONNX does not hold is refused, and nothing is left", async (t) => {
  const to = (from: string, dtype: "bf16" | "f32") =>
    convert(from, join(dir, "none"), { to: "onnx", dtype })
  await t.rejects(to(source.path, "bf16"), /a folder of onnxruntime holds f32, q8, q4, got bf16/)
  await t.rejects(to(fixture("models/pythia"), "f32"), /for openelm alone, .* is gpt_neox/)
  t.throws(() => readFileSync(join(dir, "none", "model.onnx")))
})
