// Ops of training and their gradients against float64 numbers of the original implementation.
import { constant, type Tensor, vjp } from "../engine/index.ts"
import {
  add,
  addRmsNorm,
  causalAttention,
  permute,
  qkNormRopeTrain,
  reshape,
  ropeAngles,
  ropeFrequencies,
  spreadInto,
} from "../ops/index.ts"
import { goldenOf, tensorOf } from "./fixtures.ts"
import { cotangentOf, gradients, rows, type Suite, testSuites } from "./golden.ts"

const suites: readonly Suite[] = [
  {
    file: "rmsnorm",
    checks(all, name, { eps }) {
      const x = tensorOf(all, `${name}/in.x`, rows(all, `${name}/in.x`))
      const w = tensorOf(all, `${name}/in.w`)
      const zeros = constant(new Float64Array(x.size), x.shape)
      const { y, sum } = addRmsNorm(zeros, x, w, { eps: eps as number })
      const cotangents = [cotangentOf(all, name, "y", y), zeros]
      const [dx, dw] = vjp([y, sum], cotangents, [x, w]) as [Tensor, Tensor]
      return [
        { name: "ref.y", got: y, limit: 1e-5 },
        { name: "ref.dx", got: dx, limit: 1e-5 },
        { name: "ref.dw", got: dw, limit: 1e-5 },
      ]
    },
  },
  {
    file: "rope",
    checks(all, name) {
      if (name.startsWith("table")) return []
      const [q, k] = [tensorOf(all, `${name}/in.q`), tensorOf(all, `${name}/in.k`)]
      const [B, H, T, E] = q.shape as [number, number, number, number]
      const [, G, S] = k.shape as [number, number, number]
      if (S !== T) return [] // with a cache
      // With so large an eps the norms multiply by eps^-½ whatever the row, and the weights by √eps.
      const eps = 2 ** 40
      const w = constant(new Float64Array(E).fill(eps ** 0.5), [E])
      const angles = constant(ropeAngles(T, ropeFrequencies(E, 10000)), [T, E])
      const values = constant(new Float64Array(k.size), k.shape)
      const result = qkNormRopeTrain(joined([q, k, values], B, T), w, w, angles, { B, G, eps })
      const yq = permute(reshape(result.q, [B, T, H, E]), [0, 2, 1, 3])
      const yk = result.keys
      const outputs = [yq, yk, result.values]
      const given = [cotangentOf(all, name, "yq", yq), cotangentOf(all, name, "yk", yk), values]
      const [dq, dk] = vjp(outputs, given, [q, k]) as [Tensor, Tensor]
      return [
        { name: "ref.yq", got: yq, limit: 1e-6 },
        { name: "ref.yk", got: yk, limit: 1e-6 },
        { name: "ref.dq", got: dq, limit: 1e-6 },
        { name: "ref.dk", got: dk, limit: 1e-6 },
      ]
    },
  },
  {
    file: "attention",
    checks(all, name) {
      const [B, H, T, E] = goldenOf(all, `${name}/in.q`).shape as [number, number, number, number]
      if (goldenOf(all, `${name}/in.k`).shape[2] !== T) return [] // with a cache
      const [q, k, v] = ["q", "k", "v"].map((key) => tensorOf(all, `${name}/in.${key}`)) as [
        Tensor,
        Tensor,
        Tensor,
      ]
      const flat = reshape(permute(q, [0, 2, 1, 3]), [B * T, H * E])
      const starts = constant(new Float64Array(B * T), [B, T], "i32")
      const o = causalAttention(flat, k, v, starts, { scale: E ** -0.5 }).y
      const y = permute(reshape(o, [B, T, H, E]), [0, 2, 1, 3])
      return [
        { name: "ref.y", got: y, limit: 5e-6 },
        ...gradients(all, name, { y }, { q, k, v }, 1e-4),
      ]
    },
  },
]

/** Heads side by side in the rows of positions.  parts (B, heads, T, E) → (B·T, all heads · E) */
function joined(parts: readonly Tensor[], B: number, T: number): Tensor {
  const flat = parts.map((x) => reshape(permute(x, [0, 2, 1, 3]), [B * T, x.size / (B * T)]))
  const width = flat.reduce((sum, x) => sum + (x.shape[1] as number), 0)
  let offset = 0
  const spread = flat.map((x) => {
    const here = spreadInto(x, [B * T, width], [width, 1], offset)
    offset += x.shape[1] as number
    return here
  })
  return spread.reduce(add)
}

testSuites("golden ops of training", suites)
