// Attention over slices of the cache is attention: at the first position, in the middle of a slice,
// at the end, with more slices than positions, in either dtype of the cache.

import { JsBackend } from "../backends/js/index.ts"
import {
  allocate,
  type Backend,
  constant,
  type DType,
  encode,
  normalAt,
  plan,
  read,
  type Tensor,
} from "../engine/index.ts"
import {
  attention,
  mergeParts,
  qkNormRope,
  ropeAttention,
  ropeAttentionParts,
} from "../ops/index.ts"
import { allBackends, relativeError, tolerance } from "./backends.ts"
import t from "./tap.ts"

const [H, G, S, E] = [8, 2, 100, 16]
const attrs = { eps: 1e-6, scale: 0.25 }

const normal = (stream: number, shape: number[], dtype: DType = "f32"): Tensor => {
  const size = shape.reduce((a, b) => a * b)
  const values = Float64Array.from({ length: size }, (_, i) => normalAt(stream, 0, 0, i))
  return constant(encode(dtype, values), shape, dtype)
}

function inputsOf(positions: readonly number[], dtype: DType) {
  const B = positions.length
  return [
    normal(1, [B, (H + 2 * G) * E]),
    normal(2, [E]),
    normal(3, [E]),
    normal(4, [S, E]),
    normal(5, [B, G, S, E], dtype),
    normal(6, [B, G, S, E], dtype),
    constant([...positions], [B], "i32"),
  ] as const
}

async function errorOf(backend: Backend, positions: number[], R: number, dtype: DType) {
  const inputs = inputsOf(positions, dtype)
  const { q, newKeys, newValues } = qkNormRope(...inputs, { eps: attrs.eps })
  const whole = attention(q, newKeys, newValues, inputs[6], { scale: attrs.scale }) // (B, H·E)
  const sliced = ropeAttentionParts(...inputs, { R, ...attrs })
  const y = mergeParts(sliced.parts) // (B, H·E)
  const error = relativeError(await read(y, backend), await read(whole, backend))
  const caches = relativeError(await read(sliced.newKeys, backend), await read(newKeys, backend))
  return { error, caches }
}

for (const { label, open } of allBackends) {
  t.test(`attention over slices is attention on ${label}`, async (t) => {
    const backend = await open()
    for (const dtype of ["f32", "f16"] as const) {
      for (const positions of [[0], [31, 32], [63, 5, 99]]) {
        for (const R of [1, 3, 32]) {
          const { error, caches } = await errorOf(backend, positions, R, dtype)
          t.ok(error < 1e-5, `${dtype}, positions ${positions}, ${R} slices: ${error}`)
          t.ok(caches <= tolerance[dtype], `caches: ${caches}`)
        }
      }
    }
    backend.close()
  })
}

t.test("one op from qkv to attention is lowered to what a backend has kernels for", (t) => {
  const js = new JsBackend()
  t.teardown(() => js.close())
  const stepsWith = (
    missing: readonly string[],
    position: readonly number[],
    T: number,
  ): string => {
    const [, qNorm, kNorm, angles, keys, values, at] = inputsOf(position, "f32")
    const qkv = normal(1, [position.length * T, (H + 2 * G) * E])
    const call = ropeAttention(qkv, qNorm, kNorm, angles, keys, values, at, attrs)
    const backend = {
      name: "some",
      alignment: 16,
      has: (kernel: string) => kernel !== "ropeAttention" && !missing.includes(kernel),
    }
    const { steps } = plan([[allocate(js, call.y.shape), call.y]], backend)
    const names = steps.map(({ op }) => op.name)
    return names.filter((name) => name !== "copy").join()
  }
  t.equal(stepsWith([], [7], 1), "ropeAttentionParts,mergeParts")
  t.equal(stepsWith([], [7, 5], 1), "ropeAttentionParts,mergeParts")
  t.equal(stepsWith([], [7], 2), "qkNormRope,attention", "slices serve one position")
  for (const missing of ["ropeAttentionParts", "mergeParts"]) {
    t.equal(stepsWith([missing], [7], 1), "qkNormRope,attention", `without ${missing}`)
  }
  t.end()
})
