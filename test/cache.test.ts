// The key-value cache in f16: half the memory, the same tokens, numbers beyond its range kept as its
// largest.

import { openWasm } from "../backends/wasm/index.ts"
import { type Backend, constant, type DType, decode, readTensors } from "../engine/index.ts"
import { type CacheDType, OpenELM, open } from "../index.ts"
import { inference, internals } from "../model/index.ts"
import { attention, qkNormRope, ropeAngles, ropeFrequencies, ropeWrite } from "../ops/index.ts"
import { allBackends, relativeError, wasmBackends } from "./backends.ts"
import { fixtureJson, goldenFolder } from "./fixtures.ts"
import { collect, config, prompt } from "./small.ts"
import t from "./tap.ts"

const folder = goldenFolder()
t.teardown(() => folder.remove())
const expected = fixtureJson("model/expected.json")

for (const { label, open } of allBackends) {
  t.test(`the golden model with an f16 cache on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using exact = await OpenELM.load(folder.path, { backend })
    await using model = await OpenELM.load(folder.path, { backend, cache: "f16" })
    t.same([exact.cache, model.cache], ["f32", "f16"])
    const ids: number[][] = expected.input_ids
    // f16 has 11 bits: keys and values are off by 2^-12 of their size at most.
    const error = relativeError(await model.logits(ids), await exact.logits(ids))
    t.ok(error > 0 && error < 1e-3, `logits are off by ${error.toExponential(1)}`)
    const seen = await model.activations(ids)
    const keys = (await exact.activations(ids)).get("blocks.1.keys") ?? []
    const kept = relativeError(seen.get("blocks.1.keys") ?? [], keys)
    t.ok(kept > 0 && kept < 1e-3, `keys are off by ${kept.toExponential(1)}`)
    const { prompt, new_tokens: tokens } = expected.generation
    t.same(await collect(model, prompt, { maxNewTokens: 16 }), tokens, "16 greedy tokens")
    t.equal(internals(model).variant(inference).cache, "f16")
  })
}

t.test("an f16 cache takes half the memory", async (t) => {
  const bytes = async (cache: CacheDType): Promise<number> => {
    await using backend = await openWasm({ threads: 1 })
    await using model = await OpenELM.random(config, { backend, cache })
    const before = backend.usedBytes
    await collect(model, prompt, { maxNewTokens: 1 })
    return backend.usedBytes - before
  }
  const { keyHeads, headDim, maxContext } = config
  const numbers = 2 * keyHeads.reduce((a, b) => a + b, 0) * headDim * maxContext
  t.equal((await bytes("f32")) - (await bytes("f16")), 2 * numbers)
})

t.test("threads do not change a bit with an f16 cache, prefill nor decode", async (t) => {
  const results: unknown[] = []
  for (const threads of [1, 2, 3]) {
    await using backend = await open("wasm", { threads })
    await using model = await OpenELM.random(config, { backend, seed: 9, cache: "f16" })
    const tokens = await collect(model, prompt, { maxNewTokens: 100, temperature: 1, seed: 2 })
    results.push({ logits: await model.logits([[1, 2, 3, 4, 5, 6, 7]]), tokens })
  }
  t.same(results[1], results[0])
  t.same(results[2], results[0])
})

t.test("an f16 cache saturates where a number is beyond its range", async (t) => {
  const [E, S] = [6, 3]
  const f32 = (values: readonly number[], ...shape: number[]) => constant(values, shape)
  const cache = () => constant(new Uint16Array(S * E), [1, 1, S, E], "f16")
  const angles = constant(ropeAngles(S, ropeFrequencies(E, 10000)), [S, E])
  const position = constant([0], [1], "i32")
  const q = [1, -2, 3, 0.5, 1, 1]
  const k = [7e4, 0, 0, 0, 0, -1e9]
  const v = [1e6, -65520, 65504, 2 ** -24, -0.1, -3e38]
  const want = [65504, -65504, 65504, 2 ** -24, -0.0999755859375, -65504]
  for (const { label, open } of [...allBackends.slice(0, 1), ...wasmBackends]) {
    const backend = await open()
    const one = f32(Array(E).fill(1), E)
    const qkv = f32([...q, ...k, ...v], 1, 3 * E)
    const norm = { eps: 1e-6 }
    const fused = qkNormRope(qkv, one, one, angles, cache(), cache(), position, norm)
    const [x, y, z] = [q, k, v].map((values) => f32(values, 1, E)) as [
      ReturnType<typeof f32>,
      ReturnType<typeof f32>,
      ReturnType<typeof f32>,
    ]
    const separate = ropeWrite(x, y, z, angles, cache(), cache(), position)
    const mixed = attention(fused.q, fused.newKeys, fused.newValues, position, { scale: 1 })
    const read = await valuesOf(backend, [
      fused.newValues,
      separate.newValues,
      separate.newKeys,
      mixed,
    ])
    const [values = [], others = [], keys = [], result = []] = read
    t.same([...values.slice(0, E)], want, label)
    t.same([...others.slice(0, E)], want)
    t.same([...keys.slice(0, E)], [65504, 0, 0, 0, 0, -65504])
    t.ok(relativeError(result, want) < 1e-6, `attention to one key gives its value: ${[...result]}`)
    backend.close()
  }
})

const valuesOf = async (backend: Backend, tensors: Parameters<typeof readTensors>[0]) =>
  (await readTensors(tensors, backend)).map((raw, i) => decode(tensors[i]?.dtype ?? "f32", raw))

t.test("a cache of another dtype is refused", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await t.rejects(OpenELM.random(config, { backend, cache: "bf16" as never }), {
    name: "RangeError",
    message: /cache must be one of f32, f16, q8, got "bf16"/,
  })
  const q = constant([1, 2], [1, 2])
  const [keys, values] = ["f32", "f16"].map((dtype) =>
    constant([1, 2], [1, 1, 1, 2], dtype as DType),
  )
  const position = constant([0], [1], "i32")
  t.throws(() => attention(q, keys as never, values as never, position, { scale: 1 }), {
    name: "RangeError",
    message: /attention: keys and values are of two dtypes/,
  })
  t.throws(() => attention(q, keys as never, keys as never, position, { scale: 1, E: 4 }))
})
