// Graph, gradients and plans on small graphs: order, memory, in-place updates, printing.

import { JsBackend } from "../backends/js/index.ts"
import { openWasm } from "../backends/wasm/index.ts"
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  constant,
  grad,
  plan,
  read,
  readBound,
  runOnce,
  type Tensor,
  type Update,
} from "../engine/index.ts"
import { internals, OpenELM, scaledConfig } from "../model/index.ts"
import {
  add,
  addRmsNorm,
  affine,
  argmax,
  equal,
  matmul,
  mul,
  permute,
  reshape,
  restride,
  rmsNorm,
  slice,
  sum,
  writeRows,
} from "../ops/index.ts"
import t from "./tap.ts"

const backends: readonly [string, () => Promise<Backend>][] = [
  ["js", async () => new JsBackend()],
  ["wasm", () => openWasm({ threads: 2 })],
]

const filled = (backend: Backend, values: readonly number[]): Tensor => {
  const tensor = allocate(backend, [values.length])
  backend.write(bufferOf(tensor), Float32Array.from(values))
  return tensor
}

for (const [label, open] of backends) {
  t.test(`updates on ${label} read what was there before them`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const values = async (...tensors: Tensor[]) =>
      Promise.all(tensors.map(async (x) => [...(await readBound(x, backend))]))

    t.test("all targets change as if at once", async (t) => {
      const [a, b] = [filled(backend, [1, 2]), filled(backend, [3, 4])]
      await runOnce(backend, [
        [a, b],
        [b, a],
      ])
      t.same(
        await values(a, b),
        [
          [3, 4],
          [1, 2],
        ],
        "two tensors swap",
      )
      const sumOfOld = add(a, b)
      await runOnce(backend, [
        [a, affine(a, 2, 0)],
        [b, sumOfOld],
      ])
      t.same(
        await values(a, b),
        [
          [6, 8],
          [4, 6],
        ],
        "a value is computed from old values",
      )
    })

    t.test("an in-place write does not spoil an old value that is read later", async (t) => {
      const cache = filled(backend, [0, 0, 0, 0])
      const out = allocate(backend, [4])
      const view = reshape(cache, [1, 1, 4, 1])
      const rows = constant([7], [1, 1, 1, 1])
      const written = writeRows(view, rows, constant([2], [1], "i32"))
      const old = affine(cache, 1, 10)
      await runOnce(backend, [
        [cache, reshape(written, [4])],
        [out, old],
      ])
      t.same(await values(cache, out), [
        [0, 0, 7, 0],
        [10, 10, 10, 10],
      ])
    })

    t.test("a write that is not an update leaves its input alone", async (t) => {
      const cache = filled(backend, [1, 2, 3, 4])
      const out = allocate(backend, [4])
      const written = writeRows(
        reshape(cache, [1, 1, 4, 1]),
        constant([9], [1, 1, 1, 1]),
        constant([0], [1], "i32"),
      )
      await runOnce(backend, [[out, reshape(written, [4])]])
      t.same(await values(cache, out), [
        [1, 2, 3, 4],
        [9, 2, 3, 4],
      ])
    })

    t.test("two writes to one cache follow each other", async (t) => {
      const cache = filled(backend, [0, 0, 0, 0])
      const write = (into: Tensor, value: number, at: number) =>
        writeRows(into, constant([value], [1, 1, 1, 1]), constant([at], [1], "i32"))
      const twice = write(write(reshape(cache, [1, 1, 4, 1]), 5, 1), 6, 2)
      const recorded = plan([[cache, reshape(twice, [4])]], backend)
      t.equal(recorded.steps.length, 2, "in the cache's own memory")
      const prepared = backend.prepare(recorded)
      await prepared.run()
      await prepared.run()
      prepared.close()
      t.same(await values(cache), [[0, 5, 6, 0]])
    })

    t.test("part of a buffer is updated and the rest stays", async (t) => {
      const whole = filled(backend, [1, 2, 3, 4])
      const part = bound(bufferOf(whole), [2], "f32", 4)
      await runOnce(backend, [[part, affine(part, 10, 0)]])
      t.same(await values(whole), [[1, 20, 30, 4]])
    })

    t.test("a value may go to two targets", async (t) => {
      const [a, b] = [allocate(backend, [2]), allocate(backend, [2])]
      const x = affine(constant([1, 2], [2]), 3, 0)
      await runOnce(backend, [
        [a, x],
        [b, x],
      ])
      t.same(await values(a, b), [
        [3, 6],
        [3, 6],
      ])
    })
  })
}

t.test("plans refuse what they cannot do", (t) => {
  const backend = new JsBackend()
  const x = constant([1, 2], [2])
  t.throws(() => plan([[x, x]], backend), { name: "TypeError", message: /bound tensor/ })
  const target = allocate(backend, [3])
  t.throws(() => plan([[target, x]], backend), { name: "RangeError", message: /cannot hold/ })
  t.throws(() => bound(bufferOf(target), [4]), { name: "RangeError", message: /ends at byte 16/ })
  t.throws(() => constant([1, 2, 3], [2]), { name: "RangeError", message: /takes 2 values, got 3/ })
  t.throws(() => bufferOf(x), { name: "TypeError", message: /device memory/ })
  t.throws(() => bound(bufferOf(target), [1], "f32", -4), { name: "RangeError", message: /offset/ })
  t.throws(() => bound(bufferOf(target), [1], "f32", 2), {
    name: "RangeError",
    message: /multiple of 4/,
  })
  const y = constant([1, 2, 3], [3])
  const part = bound(bufferOf(target), [1], "f32", 8)
  t.throws(
    () =>
      plan(
        [
          [target, y],
          [part, constant([1], [1])],
        ],
        backend,
      ),
    /written by two updates/,
  )
  const bare = { name: "bare", has: () => false }
  t.throws(
    () => plan([[allocate(backend, [2]), affine(x, 1, 1)]], bare),
    /bare has no kernel affine/,
  )
  t.end()
})

t.test("values that are alive together never share memory", async (t) => {
  const backend = new JsBackend()
  const model = await OpenELM.random(small, { backend })
  const { steps, arenaBytes } = internals(model).decodePlan
  const lives = new Map<object, { first: number; last: number; from: number; to: number }>()
  steps.forEach((step, i) => {
    for (const { storage } of [...step.inputs, ...step.outputs]) {
      if (storage.kind !== "arena") continue
      const from = storage.arenaOffset
      const life = lives.get(storage) ?? { first: i, last: i, from, to: from + storage.bytes }
      lives.set(storage, { ...life, last: i })
    }
  })
  const all = [...lives.values()]
  const clash = all.filter((a, i) =>
    all.some(
      (b, j) => i < j && a.first <= b.last && b.first <= a.last && a.from < b.to && b.from < a.to,
    ),
  )
  t.equal(clash.length, 0)
  t.ok(all.length > 20, `${all.length} values in the arena`)
  const total = all.reduce((s, { from, to }) => s + to - from, 0)
  t.ok(arenaBytes < total / 2, `${arenaBytes} bytes hold ${total}`)
  t.ok(
    all.every(({ from }) => from % 64 === 0),
    "offsets are aligned",
  )
  await model.close()
  t.equal(backend.live.size, 0, "close frees every buffer")
})

const small = scaledConfig({
  layers: 4,
  modelDim: 64,
  headDim: 16,
  vocabSize: 64,
  maxContext: 32,
  ffnDivisor: 16,
})

t.test("a plan prints its steps", (t) => {
  const backend = new JsBackend()
  const x = allocate(backend, [2, 3])
  const y = allocate(backend, [2, 3])
  const updates: Update[] = [[y, rmsNorm(x, constant([1, 1, 1], [3]), { eps: 1e-6 }).y]]
  const text = plan(updates, { name: "all", has: () => true }).toString()
  t.match(
    text,
    /^1 steps, arena 64 bytes\n +0 {2}rmsNorm {2}f32\(2, 3\)!0 f32\(3\)# -> f32\(2, 3\)!0/,
  )
  t.match(plan(updates, backend).toString(), /mul .*\n.*sumRows /, "lowered to its meaning")
  t.end()
})

t.test("gradients are those of calculus, once and twice", async (t) => {
  const backend = new JsBackend()
  const x = constant([1, -2, 3], [3])
  const loss = sum(mul(x, mul(x, x)))
  const [dx, dz] = grad(loss, [x, constant([5], [1])])
  t.same([...(await read(dx, backend))], [3, 12, 27])
  t.same([...(await read(dz, backend))], [0], "zeros where nothing depends")
  const [second] = grad(sum(mul(dx, dx)), [x])
  t.same([...(await read(second, backend))], [36, -288, 972], "a gradient has a gradient")
  t.throws(() => grad(x, [x]), { name: "RangeError", message: /must be one f32 number/ })
  t.throws(() => grad(argmax(reshape(x, [1, 3])), [x]), { name: "RangeError" })
  const y = affine(x, 2, 0)
  const [ofX, ofY] = grad(sum(mul(y, y)), [x, y])
  t.same(
    [...(await read(ofX, backend))],
    [8, -16, 24],
    "of a tensor that another wanted one is made of",
  )
  t.same([...(await read(ofY, backend))], [4, -8, 12])
  const row = reshape(x, [1, 3])
  const twice = addRmsNorm(row, row, constant([1, 1, 1], [3]), { eps: 1e-6 }).sum
  t.same(
    [...(await read(grad(sum(mul(twice, twice)), [x])[0], backend))],
    [8, -16, 24],
    "twice in one call",
  )
  const mask = sum(equal(x, x))
  t.same([...(await read(grad(mask, [x])[0], backend))], [0, 0, 0])
  const deep = Array.from({ length: 20000 }).reduce<Tensor>((y) => affine(y, 1, 0), x)
  t.same([...(await read(grad(sum(deep), [x])[0], backend))], [1, 1, 1], "20,000 calls deep")
})

t.test("calls name what is wrong", (t) => {
  const x = constant(new Float32Array(7 * 1280), [7, 1280])
  const w = constant(new Float32Array(1281), [1281])
  t.throws(() => rmsNorm(x, w, { eps: 1e-6 }), {
    name: "RangeError",
    message:
      "rmsNorm: axis D is 1280 but w has 1281\n" +
      "  takes x:(N,D) w:(D) -> y:(N,D) rstd:(N)\n" +
      "  got   x(7, 1280) w(1281)",
  })
  const good = constant(new Float32Array(1280), [1280])
  t.throws(() => rmsNorm(x, good), { name: "TypeError", message: /give eps as attributes/ })
  t.throws(() => matmul(x, constant(new Float32Array(1280 * 16), [1, 1280, 16]), { N: 17 }), {
    name: "RangeError",
    message: /N 17 takes 2 panels, w has 1/,
  })
  t.throws(() => add(x, constant([1, 2], [2])), /does not spread/)
  t.throws(() => reshape(x, [3]), /does not hold/)
  const ids = constant([1, 2], [2], "i32")
  t.throws(() => add(ids, ids), { name: "TypeError", message: /add: a is i32, expected f32/ })
  t.throws(() => slice(x, 4, 0, 1), { name: "RangeError", message: /axis 4/ })
  t.throws(() => permute(x, [1]), { name: "RangeError", message: /does not order/ })
  const beyond = { shape: [3], strides: [1], offset: 7 * 1280 - 2 }
  t.throws(() => restride(x, beyond), { name: "RangeError", message: /reaches elements/ })
  t.end()
})
