// Blocks of GGUF files as they are: what a model holds in q8 or q4 is what the file says, to the bit, on
// every backend, and its logits are those of these numbers.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OpenELM, read } from "../index.ts"
import { openModel } from "../model/index.ts"
import { specsOf } from "../model/weights/layout.ts"
import { dequantize } from "../ops/index.ts"
import { allBackends } from "./backends.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"
import { relativeError } from "./tolerance.ts"

const expected = fixtureJson("gguf/expected.json")
const cases = [
  ["tiny-a-q8_0.gguf", "q8"],
  ["tiny-a-q4_0.gguf", "q4"],
  ["tiny-a-q4_0.gguf", "q8"],
  ["wide-a-q4_0.gguf", "q4"],
] as const

for (const { label, open } of allBackends) {
  t.test(`blocks of a file are kept to the bit on ${label}`, async (t) => {
    await using backend = await openedFor(open)
    // Shaders are compiled for each size: one model of each format.
    for (const [name, dtype] of label === "webgpu" ? cases.slice(0, 2) : cases) {
      const path = fixture(`gguf/${name}`)
      const file = await openModel(path)
      const model = await OpenELM.load(path, { backend, dtype })
      let blocks = 0
      for (const { name: weight, shape, halves: Halves } of specsOf(file.config)) {
        const source = file.source(weight)
        if (!source.blocks) continue
        const [N, K] = shape as [number, number]
        const want = new Float32Array(N * K)
        await source.readRows(0, N, new Uint8Array(want.buffer))
        const w = model.tensors.get(weight)
        const got = w && (await read(dequantize(w, { N, K, Halves }), backend))
        t.same(got, want, `${name} in ${dtype}: ${weight}`)
        blocks++
      }
      t.ok(blocks >= 4, `${blocks} matrices of ${name} are in blocks`)
      const { prompt, logits_last_prompt_position: want } = expected[name]
      const last = (await model.logits([prompt])).slice(-want.length)
      // Beside the blocks, matrices whose rows are no whole blocks are rounded to the dtype.
      const most = dtype === "q4" ? 0.3 : 0.05
      const error = relativeError(last, want)
      t.ok(error < most, `${name} in ${dtype}: logits are off by ${error}`)
      await model.close()
      await file.close()
    }
  })
}

async function openedFor(open: (typeof allBackends)[number]["open"]) {
  const backend = await open()
  return Object.assign(backend, { [Symbol.asyncDispose]: async () => backend.close() })
}

t.test("a scale that is not finite is refused by the name of its tensor", async (t) => {
  const bytes = readFileSync(fixture("gguf/tiny-a-q8_0.gguf"))
  const file = await openModel(fixture("gguf/tiny-a-q8_0.gguf"))
  const matrix = specsOf(file.config).find(({ name }) => file.source(name).blocks)
  const row = new Uint8Array(34 * ((matrix?.shape[1] ?? 0) / 32))
  await file.source(matrix?.name ?? "").blocks?.readRows(0, 1, row)
  await file.close()
  bytes.writeUInt16LE(0x7e00, bytes.indexOf(row))
  const path = join(t.testdir({}), "damaged.gguf")
  writeFileSync(path, bytes)
  const [{ open } = t.fail("no backend") as never] = allBackends
  await using backend = await openedFor(open)
  await t.rejects(OpenELM.load(path, { backend, dtype: "q8" }), {
    message: new RegExp(`${matrix?.name}: 32 of its \\d+ numbers are NaN or infinite in q8_0`),
  })
})
