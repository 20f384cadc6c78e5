// Plain ops that act on each element alone. The binary ones broadcast as NumPy does.
import {
  addOp,
  binary,
  constant,
  each,
  elementKernels,
  type Maybe,
  type Op,
  plain,
  refuse,
  type Shape,
  size,
  type Tensor,
} from "../../engine/index.ts"
import { broadcast } from "./movement.ts"

const apply = (op: Op, inputs: readonly Tensor[], attrs = {}): Tensor =>
  op.record(inputs, attrs).outputs[0] as Tensor

type UnaryVjp = (d: Tensor, x: Tensor, y: Tensor) => Maybe

function unary(name: string, formula: string, f: (x: number) => number, vjp: UnaryVjp): Op {
  return plain({
    name,
    text: `x:(...) -> y:(...), y = ${formula}`,
    inputs: ["x"],
    params: "N",
    infer: ([x]) => ({ shape: (x as Tensor).shape, params: { N: (x as Tensor).size } }),
    compute: ({ x, y }, params) => each(params, y, (i) => f((x as Float64Array)[i] as number)),
    vjp: (d, [x], y) => [vjp(d, x as Tensor, y)],
    cases: [{ x: [1] }, { x: [3, 31] }, { x: [4099] }],
    gpu: elementKernels,
  })
}

const subOp = binary(
  "sub",
  "a − b",
  (a, b) => a - b,
  (d) => [d, affine(d, -1, 0)],
)
const mulOp = binary(
  "mul",
  "a·b",
  (a, b) => a * b,
  (d, a, b) => [mul(d, b), mul(d, a)],
)
const divOp = binary(
  "div",
  "a / b",
  (a, b) => a / b,
  (d, _a, b, y) => [div(d, b), affine(div(mul(d, y), b), -1, 0)],
)
const lessOp = binary(
  "less",
  "1 where a < b, else 0",
  (a, b) => Number(a < b),
  () => [],
)
const equalOp = binary(
  "equal",
  "1 where a = b, else 0",
  (a, b) => Number(a === b),
  () => [],
)
const expOp = unary("exp", "eˣ", Math.exp, (d, _x, y) => mul(d, y))
const logOp = unary("log", "ln x", Math.log, (d, x) => div(d, x))
const erfcOp = unary("erfc", "1 − erf(x)", erfcOf, (d, x) =>
  mul(d, affine(exp(affine(mul(x, x), -1, 0)), -2 / Math.sqrt(Math.PI), 0)),
)
const rsqrtOp = unary(
  "rsqrt",
  "x^-½",
  (x) => 1 / Math.sqrt(x),
  (d, _x, y) => affine(mul(d, mul(y, mul(y, y))), -0.5, 0),
)

/** 1 − erf(x) in float64: a series of terms of one sign near 0, a continued fraction beyond. */
function erfcOf(x: number): number {
  if (x < 0) return 2 - erfcOf(-x)
  const gauss = Math.exp(-x * x) / Math.sqrt(Math.PI)
  if (x < 2) {
    let [term, sum] = [x, x]
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1)
      sum += term
    }
    return 1 - 2 * gauss * sum
  }
  let fraction = x
  for (let k = 60; k > 0; k--) fraction = x + k / 2 / fraction
  return gauss / fraction
}

const affineOp: Op = plain({
  name: "affine",
  text: "x:(...) -> y:(...), y = scale·x + shift",
  inputs: ["x"],
  params: "N scale shift",
  infer: ([x], { scale, shift }) => ({
    shape: (x as Tensor).shape,
    params: { N: (x as Tensor).size, scale: scale as number, shift: shift as number },
  }),
  compute: ({ x, y }, params) =>
    each(
      params,
      y,
      (i) => size(params, "scale") * ((x as Float64Array)[i] as number) + size(params, "shift"),
    ),
  vjp: (d, _x, _y, { scale }) => [affine(d, scale as number, 0)],
  cases: [{ x: [3, 33], scale: -0.5, shift: 2 }],
  gpu: elementKernels,
})

const selectOp: Op = plain({
  name: "select",
  text: "c:(...) a:(...) b:(...) -> y:(...), y = a where c ≠ 0, else b",
  inputs: ["c", "a", "b"],
  params: "N",
  infer(inputs) {
    const [c, a, b] = inputs as [Tensor, Tensor, Tensor]
    if (c.shape.join() !== a.shape.join() || a.shape.join() !== b.shape.join()) {
      refuse(this, "shapes differ", inputs)
    }
    return { shape: a.shape, params: { N: a.size } }
  },
  compute: ({ c, a, b, y }, params) =>
    each(
      params,
      y,
      (i) => ((c as Float64Array)[i] ? (a as Float64Array)[i] : (b as Float64Array)[i]) as number,
    ),
  vjp: (d, [c]) => [undefined, select(c as Tensor, d, 0), select(c as Tensor, 0, d)],
  cases: [{ c: [3, 31], a: [3, 31], b: [3, 31] }],
  gpu: elementKernels,
})
selectOp.sample = (name) => (name === "c" ? (i) => i % 2 : undefined)
for (const op of [logOp, rsqrtOp]) op.sample = () => (i) => 0.5 + (i % 7)
divOp.sample = (name) => (name === "b" ? (i) => (i % 2 ? 1 : -1) * (0.5 + (i % 5)) : undefined)

/** The shape that two shapes broadcast to. */
function common(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const [m, n] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1]
    return m === 1 ? n : m
  })
}

function spread(op: Op, a: Tensor, b: Tensor): Tensor {
  const shape = common(a.shape, b.shape)
  return apply(op, [broadcast(a, shape), broadcast(b, shape)])
}

/** a + b, spread to a common shape, as are all of two tensors. */
export const add = (a: Tensor, b: Tensor): Tensor => spread(addOp, a, b)
/** a − b. */
export const sub = (a: Tensor, b: Tensor): Tensor => spread(subOp, a, b)
/** a·b. */
export const mul = (a: Tensor, b: Tensor): Tensor => spread(mulOp, a, b)
/** a / b. */
export const div = (a: Tensor, b: Tensor): Tensor => spread(divOp, a, b)
/** 1 where a < b, else 0. No gradient flows. */
export const less = (a: Tensor, b: Tensor): Tensor => spread(lessOp, a, b)
/** 1 where a = b, else 0. No gradient flows. */
export const equal = (a: Tensor, b: Tensor): Tensor => spread(equalOp, a, b)
/** scale·x + shift with numbers fixed when the graph is recorded. */
export const affine = (x: Tensor, scale: number, shift: number): Tensor =>
  apply(affineOp, [x], { scale, shift })
/** eˣ. */
export const exp = (x: Tensor): Tensor => apply(expOp, [x])
/** ln x. */
export const log = (x: Tensor): Tensor => apply(logOp, [x])
/** 1 − erf(x) = 2/√π·∫ₓ e^(−t²). */
export const erfc = (x: Tensor): Tensor => apply(erfcOp, [x])
/** 1/√x. */
export const rsqrt = (x: Tensor): Tensor => apply(rsqrtOp, [x])
/** a where c ≠ 0, else b; numbers and smaller shapes spread to c's shape. */
export function select(c: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const full = (x: Tensor | number) =>
    broadcast(typeof x === "number" ? constant([x], [1]) : x, c.shape)
  return apply(selectOp, [c, full(a), full(b)])
}
/** 1 / (1 + e⁻ˣ). */
export const sigmoid = (x: Tensor): Tensor =>
  div(constant([1], [1]), affine(exp(affine(x, -1, 0)), 1, 1))

export const elementwiseOps: readonly Op[] = [
  addOp,
  subOp,
  mulOp,
  divOp,
  lessOp,
  equalOp,
  expOp,
  logOp,
  erfcOp,
  rsqrtOp,
  affineOp,
  selectOp,
]
