// Single ops and their gradients against float64 numbers of the original implementation.

import { constant, type Tensor } from "../engine/index.ts"
import {
  attention,
  embed,
  layerNorm,
  matmul,
  matmulSwiglu,
  pack,
  panelsOf,
  permute,
  reshape,
  rmsNorm,
  ropeAngles,
  ropeFrequencies,
  rotate,
  swiglu,
  unpanel,
} from "../ops/index.ts"
import { relativeError } from "./backends.ts"
import { fixtureJson, golden, goldenOf, tensorOf } from "./fixtures.ts"
import {
  type Check,
  type Goldens,
  gradients,
  lossTerms,
  rows,
  type Suite,
  testSuites,
} from "./golden.ts"
import t from "./tap.ts"

const panels = (w: Tensor, halves = 1): Tensor =>
  pack(w, { P: panelsOf(w.shape[0] as number, halves), Halves: halves, dtype: "f32" }).w

const suites: readonly Suite[] = [
  {
    file: "rmsnorm",
    checks(all, name, { eps }) {
      const x = tensorOf(all, `${name}/in.x`, rows(all, `${name}/in.x`))
      const w = tensorOf(all, `${name}/in.w`)
      const { y } = rmsNorm(x, w, { eps: eps as number })
      return [
        { name: "ref.y", got: y, limit: 1e-5 },
        ...gradients(all, name, { y }, { x, w }, 1e-5),
      ]
    },
  },
  {
    file: "layernorm",
    checks(all, name, { eps }) {
      const [x, w, b] = ["x", "w", "b"].map((key) => tensorOf(all, `${name}/in.${key}`)) as [
        Tensor,
        Tensor,
        Tensor,
      ]
      const y = layerNorm(x, w, b, { eps: eps as number })
      return [
        { name: "ref.y", got: y, limit: 2e-5 },
        ...gradients(all, name, { y }, { x, w, b }, 2e-5),
      ]
    },
  },
  {
    file: "linear",
    checks(all, name) {
      const [x, matrix] = [tensorOf(all, `${name}/in.x`), tensorOf(all, `${name}/in.w`)]
      const N = matrix.shape[0] as number
      const w = panels(matrix)
      const y = matmul(x, w, { N })
      const [dx, dw] = gradients(all, name, { y }, { x, w }, 2e-6) as [Check, Check]
      return [{ name: "ref.y", got: y, limit: 2e-6 }, dx, { ...dw, got: unpanel(dw.got, N) }]
    },
  },
  {
    file: "swiglu",
    checks(all, name) {
      if (name === "ffn") return feedForward(all)
      const x12 = tensorOf(all, `${name}/in.x12`)
      const y = swiglu(x12)
      return [{ name: "ref.y", got: y, limit: 2e-6 }, ...gradients(all, name, { y }, { x12 }, 2e-6)]
    },
  },
  {
    file: "attention",
    checks(all, name) {
      const [B, H, T, E] = goldenOf(all, `${name}/in.q`).shape as [number, number, number, number]
      const [, , S] = goldenOf(all, `${name}/in.k`).shape as [number, number, number]
      const [q, k, v] = ["q", "k", "v"].map((key) => tensorOf(all, `${name}/in.${key}`)) as Tensor[]
      const flat = reshape(permute(q as Tensor, [0, 2, 1, 3]), [B * T, H * E])
      const position = constant(new Float64Array(B).fill(S - T), [B], "i32")
      const o = attention(flat, k as Tensor, v as Tensor, position, { scale: E ** -0.5 })
      const y = permute(reshape(o, [B, T, H, E]), [0, 2, 1, 3])
      const inputs = { q: q as Tensor, k: k as Tensor, v: v as Tensor }
      return [{ name: "ref.y", got: y, limit: 5e-6 }, ...gradients(all, name, { y }, inputs, 1e-4)]
    },
  },
  {
    file: "embedding",
    checks(all, name, { padding_idx: Padding }) {
      const [weight, { values, shape }] = [
        tensorOf(all, `${name}/in.weight`),
        goldenOf(all, `${name}/in.ids`),
      ]
      const w = panels(weight)
      const attrs = Object.fromEntries(Padding === null ? [] : [["Padding", Padding as number]])
      const y = embed(constant(values, [values.length], "i32"), w, attrs)
      const full = reshape(y, [...shape, weight.shape[1] as number])
      const [dw] = gradients(all, name, { y: full }, { weight: w }, 1e-6) as [Check]
      const got = unpanel(dw.got, weight.shape[0] as number)
      return [
        { name: "ref.y", got: full, limit: 1e-6 },
        { ...dw, got },
      ]
    },
  },
  {
    file: "cross_entropy",
    checks(all, name, attrs) {
      const ignoreIndex = attrs.ignore_index ?? -1
      const zLoss = attrs.z_loss_eps ?? 0
      const logits = tensorOf(all, `${name}/in.logits`, rows(all, `${name}/in.logits`))
      const { values } = goldenOf(all, `${name}/in.targets`)
      const targets = constant(values, [values.length], "i32")
      const { loss, ce, z } = lossTerms(logits, targets, { ignoreIndex, zLoss })
      const limit = name.startsWith("large") ? 2e-5 : 2e-6
      const named = zLoss ? { total_loss: loss, ce_loss: ce, z_loss: z } : { loss }
      const values_ = Object.entries(named).map(([key, got]) => ({
        name: `ref.${key}`,
        got,
        limit: 2e-6,
      }))
      return [...values_, ...gradients(all, name, { loss }, { logits }, limit)]
    },
  },
  {
    file: "rope",
    checks(all, name, attrs) {
      const first = attrs.first_query_position ?? 0
      if (name.startsWith("table")) return []
      const [q, k] = [tensorOf(all, `${name}/in.q`), tensorOf(all, `${name}/in.k`)]
      const E = q.shape[3] as number
      const length = k.shape[2] as number
      const table = ropeAngles(length, ropeFrequencies(E, 10000))
      const angles = (from: number, count: number) =>
        constant(table.subarray(from * E, (from + count) * E), [1, 1, count, E])
      const yq = rotate(q, angles(first, q.shape[2] as number))
      const yk = rotate(k, angles(0, length))
      const outputs = [
        { name: "ref.yq", got: yq, limit: 1e-6 },
        { name: "ref.yk", got: yk, limit: 1e-6 },
      ]
      return [...outputs, ...gradients(all, name, { yq, yk }, { q, k }, 1e-6)]
    },
  },
]

/** proj_2(swiglu(proj_1(x))) with the projection fused into its activation. */
function feedForward(all: Goldens): Check[] {
  const [x, w1, w2] = ["x", "w1", "w2"].map((key) => tensorOf(all, `ffn/in.${key}`)) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const [p1, p2] = [panels(w1, 2), panels(w2)]
  const [F, D] = [w2.shape[1] as number, w2.shape[0] as number]
  const y = matmul(matmulSwiglu(x, p1, { F }), p2, { N: D })
  const [dx, d1, d2] = gradients(all, "ffn", { y }, { x, w1: p1, w2: p2 }, 2e-6) as [
    Check,
    Check,
    Check,
  ]
  return [
    { name: "ref.y", got: y, limit: 2e-6 },
    dx,
    { ...d1, got: unpanel(d1.got, 2 * F, 2) },
    { ...d2, got: unpanel(d2.got, D) },
  ]
}

testSuites("golden ops", suites)

t.test("rope tables are those of the original", async (t) => {
  const all = await golden("ops/rope.safetensors")
  for (const { case: name, positions } of fixtureJson("ops/rope.json").cases) {
    if (!name.startsWith("table")) continue
    const given = Float32Array.from(goldenOf(all, `${name}/corenet_f32.inv_freq`).values)
    const E = 2 * given.length
    for (const [frequencies, limit] of [
      [given, 2e-7],
      [ropeFrequencies(E, 10000), 2e-4],
    ] as const) {
      const table = ropeAngles(4096, frequencies)
      const part = (offset: number) =>
        positions.flatMap((p: number) => [...table.slice(p * E + offset, p * E + offset + E / 2)])
      const errors = ["cos", "sin"].map((key, i) =>
        relativeError(part((i * E) / 2), goldenOf(all, `${name}/corenet_f32.${key}`).values),
      )
      t.ok(Math.max(...errors) <= limit, `${name}: off by ${errors}, limit ${limit}`)
    }
  }
})
