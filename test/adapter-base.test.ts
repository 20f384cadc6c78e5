// Of the weights that it was made beside an adapter's file keeps a few numbers: those it knows again in any dtype
// and format, on any backend, and others of the same sizes it refuses.
import { join } from "node:path"
import { JsBackend } from "../backends/js/index.ts"
import { addAdapter, convert, LanguageModel, loadAdapter, mergeAdapter } from "../index.ts"
import { agreement, fingerprintOf } from "../model/adapters/fingerprint.ts"
import { internals, openSafetensors, weightDTypes, writeSafetensors } from "../model/index.ts"
import { allBackends } from "./backends.ts"
import { endsOf } from "./command.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const js = new JsBackend()
const random = (seed: number) => LanguageModel.random(config, { backend: js, seed })
const folder = t.testdir()
const [base, adapted] = [join(folder, "base"), join(folder, "adapted")]
const first = await random(1)
await first.save(base)
await (await addAdapter(first, { rank: 2 })).save(adapted)
await first.close()

t.test("the weights that an adapter was made beside are known in every dtype", async (t) => {
  for (const { label, open } of allBackends) {
    const backend = await open()
    // Shaders of every dtype take a software driver a minute.
    const dtypes = label.includes("webgpu") ? (["q4"] as const) : weightDTypes
    for (const dtype of dtypes) {
      const model = await LanguageModel.load(base, { backend, dtype })
      const adapter = await loadAdapter(model, adapted)
      t.equal(adapter.config.rank, 2, `${label}, ${dtype}`)
      // Of what was saved beside rounded weights again those of the file know it.
      const again = join(folder, `${label.replace(/\W+/g, "-")}-${dtype}`)
      await adapter.save(again)
      await model.close()
      const whole = await LanguageModel.load(base, { backend: js })
      await loadAdapter(whole, again)
      await whole.close()
    }
    backend.close()
  }
})

t.test("and in every format", async (t) => {
  for (const to of ["mlx", "gguf", "elm"] as const) {
    const path = join(folder, `other.${to}`)
    await convert(base, path, { to, dtype: "q4", tokenizer: null, backend: js })
    const model = await LanguageModel.load(path, { backend: js })
    t.equal((await loadAdapter(model, adapted)).config.rank, 2, to)
    await model.close()
  }
})

t.test("other weights of the same sizes are refused, unless any will do", async (t) => {
  const [own, other] = [await LanguageModel.load(base, { backend: js }), await random(2)]
  const print = (model: LanguageModel) => fingerprintOf(internals(model).host.source)
  const [a, b] = [await print(own), await print(other)]
  t.ok(Math.abs(agreement(a, b)) < 0.3, "they have nothing to do with each other")
  t.equal(agreement(a, a).toFixed(9), "1.000000000")
  const message = /adapter was made beside "small", .*agree to -?0\.[012]\d, .*0\.9.*--any-base/
  await t.rejects(loadAdapter(other, adapted), { name: "RangeError", message })
  t.equal(other.adapter, undefined)
  t.equal((await loadAdapter(other, adapted, { anyBase: true })).config.rank, 2)
  await t.rejects(loadAdapter(other, adapted, { anyBase: 1 as never }), { name: "TypeError" })
  // A part of it merged away, the base is still near.
  await mergeAdapter(own, await loadAdapter(own, adapted), { tied: "drop" })
  await loadAdapter(own, adapted)
  for (const model of [own, other]) await model.close()
})

t.test("the metadata that it lies in may be missing, and is told where it is broken", async (t) => {
  const own = await LanguageModel.load(base, { backend: js })
  const file = join(adapted, "adapter_model.safetensors")
  const { metadata, tensors, close } = await openSafetensors(file)
  t.equal(metadata.get("format"), "pt", "what PEFT reads of it")
  t.same([...metadata.keys()], ["format", "openelm_base"])
  t.ok(Number(metadata.get("openelm_base")?.length) < 4096)
  t.ok(tensors.size > 0)
  await close()
  const loose = join(folder, "loose.safetensors")
  const one = { dtype: "F32", shape: [2, 64], data: new Float32Array(128) } as const
  const write = (text: string) =>
    writeSafetensors(loose, new Map([["x.lora_A.weight", one]]), { openelm_base: text })
  await write("{")
  await t.rejects(loadAdapter(own, loose, { alpha: 1 }), { name: "SyntaxError" })
  await write('{"model":"a","tensors":{"x":["1"]}}')
  await t.rejects(loadAdapter(own, loose, { alpha: 1 }), { message: /openelm_base is an object/ })
  await own.close()
})

t.test("elm merge says it, and goes on where it is told to", async (t) => {
  const other = join(folder, "other")
  const model = await random(2)
  await model.save(other)
  await model.close()
  const ask = [other, adapted, join(folder, "merged")]
  const line = ["merge", ...ask, "--drop-table"]
  const [refused, done] = await endsOf([line, [...line, "--any-base"]])
  t.equal(refused?.code, 1)
  t.match(refused?.stderr, /made beside "small".*--any-base/)
  t.equal(done?.code, 0, String(done?.stderr))
})
