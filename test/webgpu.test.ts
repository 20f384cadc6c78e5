// What the webgpu backend does beside computing: places of tensors that a binding cannot reach as
// they are, bits of random numbers, counting, features left off, errors.

import { features, openWebgpu, type WebgpuBackend } from "../backends/webgpu/index.ts"
import { throughFunctions } from "../backends/webgpu/windows.ts"
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  constant,
  read,
  runOnce,
  type Tensor,
} from "../engine/index.ts"
import {
  add,
  cast,
  copy,
  matmul,
  mul,
  pack,
  panelsOf,
  randomUniform,
  sub,
  unpack,
} from "../ops/index.ts"
import { noWholeWebgpu, relativeError, wasmBackends } from "./backends.ts"
import { oracle } from "./cases.ts"
import t, { type Test } from "./tap.ts"

const test = (name: string, body: (t: Test, backend: WebgpuBackend) => Promise<void>): void => {
  t.test(name, noWholeWebgpu ? { skip: noWholeWebgpu } : {}, async (t) => {
    const backend = await openWebgpu()
    await body(t, backend)
    t.equal(backend.liveCount, 0, "everything is freed")
    backend.close()
  })
}

const numbers = (n: number, from = 0) => Float32Array.from({ length: n }, (_, i) => from + i)

test("tensors at any offset are read and written where they are", async (t, backend) => {
  const whole = allocate(backend, [40])
  const buffer = bufferOf(whole)
  backend.write(buffer, numbers(40))
  const part = (n: number, at: number) => bound(buffer, [n], "f32", 4 * at)
  await runOnce(backend, [
    [part(3, 1), add(part(3, 10), part(3, 11))],
    [part(2, 30), mul(part(2, 20), part(2, 20))],
  ])
  const got = [...(await read(whole, backend))]
  const want = [...numbers(40)]
  want.splice(1, 3, 21, 23, 25)
  want.splice(30, 2, 400, 441)
  t.same(got, want)
  buffer.free()
})

test("numbers of 16 bits keep their neighbours", async (t, backend) => {
  const whole = allocate(backend, [9], "bf16")
  const buffer = bufferOf(whole)
  backend.write(buffer, Float64Array.from(numbers(9)))
  const part = (n: number, at: number) => bound(buffer, [n], "bf16", 2 * at)
  const changed = cast(mul(cast(part(3, 5), "f32"), constant([2], [1])), "bf16")
  await runOnce(backend, [
    [part(3, 1), changed],
    [part(1, 8), copy(part(1, 0))],
  ])
  const got = await read(cast(whole, "f32"), backend)
  t.same([...got], [0, 10, 12, 14, 4, 5, 6, 7, 0])
  buffer.free()
})

test("one tensor in several places of a call", async (t, backend) => {
  const x = constant([1, 2, 3], [3])
  const doubled = add(x, x)
  const got = await read(mul(doubled, sub(doubled, x)), backend)
  t.same([...got], [2, 8, 18])
  t.same([...(await read(mul(doubled, doubled), backend))], [4, 16, 36])
})

test("uniform numbers have the bits of the wasm backend", async (t, backend) => {
  const draw = (on: Backend): Promise<ArrayLike<number>> => {
    const seed = constant([-5, 4, -5], [3], "i32")
    const streams = constant([3, -1, 2 ** 31 - 1], [3], "i32")
    return read(randomUniform(seed, streams, { K: 1000 }) as Tensor, on)
  }
  const wasm = await (wasmBackends[0] as { open(): Promise<Backend> }).open()
  t.same(await draw(backend), await draw(wasm))
  wasm.close()
})

test("sizes are checked", async (t, backend) => {
  const buffer = backend.alloc(8)
  t.throws(() => backend.write(buffer, numbers(3)), /do not fit/)
  t.throws(() => backend.write(buffer, new Uint8Array(1), 1), /whole words/)
  await t.rejects(backend.read(buffer, 16), /lie outside/)
  t.throws(() => backend.alloc(2 ** 50), { name: "RangeError", message: /do not fit/ })
  buffer.free()
  buffer.free()
})

t.test("features can be left off", noWholeWebgpu ? { skip: noWholeWebgpu } : {}, async (t) => {
  const backend = await openWebgpu({ without: features })
  t.equal(backend.features.size, 0)
  t.same([...(await read(add(constant([1], [1]), constant([2], [1])), backend))], [3])
  backend.close()
  t.throws(() => backend.alloc(4), /closed/)
  await t.rejects(openWebgpu({ without: ["speed" as never] }), {
    name: "RangeError",
    message: /speed/,
  })
})

t.test(
  "tensors larger than a binding are bound in windows, with the same results",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    const backend = await openWebgpu({ bindingBytes: 1280 })
    for (const dtype of ["f32", "bf16"] as const) {
      const [N, K, M] = [33, 31, 7]
      const matrix = constant(numbers(N * K, -500), [N, K])
      const x = constant(
        Float32Array.from({ length: M * K }, (_, i) => (i % 5) - 2),
        [M, K],
      )
      const { w } = pack(matrix, { P: panelsOf(N), Halves: 1, dtype })
      const results = [matmul(x, w, { N }), unpack(w, { N, Halves: 1, dtype: "f32" })]
      const wanted = await oracle(results)
      for (const [i, y] of results.entries()) {
        const error = relativeError(await read(y, backend), wanted[i] ?? [])
        t.ok(error < 1e-5, `${dtype} ${i}: ${error}`)
      }
    }
    const long = constant(numbers(400), [400])
    t.same(
      [...(await read(add(long, long), backend))],
      [...numbers(400)].map((x) => 2 * x),
    )
    const longer = constant(numbers(8000), [8000])
    await t.rejects(read(add(longer, longer), backend), {
      name: "RangeError",
      message: /binds at once/,
    })
    t.equal(backend.liveCount, 0)
    backend.close()
  },
)

t.test("kernels reach tensors in windows through functions", (t) => {
  const code = "fn f() { x[i] = y[x[j] + 1u]; x[n[k]] += x[2u * m[0]].x * 2.0; let a = max[x[i]]; }"
  t.equal(
    throughFunctions(code, "x", "x"),
    "fn f() { x_write(i, y[x_read(j) + 1u]); x_write(n[k], x_read(n[k]) + (x_read(2u * m[0]).x * " +
      "2.0)); let a = max[x_read(i)]; }",
  )
  t.equal(throughFunctions("a == x[i];", "x", "y"), "a == y_read(i);")
  t.equal(
    throughFunctions("if (x[i] == 1) { v.x[0] = 2; }", "x", "x"),
    "if (x_read(i) == 1) { v.x[0] = 2; }",
  )
  t.throws(() => throughFunctions("x[i].y = 1.0;", "x", "x"), { name: "SyntaxError" })
  t.end()
})
