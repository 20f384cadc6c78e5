// Plain ops that move elements without changing them: one strided copy and its adjoint are enough
// for permute, broadcast, slice and their gradients.
import {
  type Attrs,
  copyOp,
  type Maybe,
  type Op,
  plain,
  refuse,
  type Shape,
  type Sizes,
  size,
  sizeOf,
  type Tensor,
} from "../../engine/index.ts"

const from = ["plain/movement.wgsl"]

const apply = (op: Op, inputs: readonly Tensor[], attrs: Attrs = {}): Tensor =>
  op.record(inputs, attrs).outputs[0] as Tensor

/** Axes that a strided copy walks; lower ranks are padded with ones in front. */
const maxRank = 6
const dims = [0, 1, 2, 3, 4, 5] as const
const stridedParams = `N ${dims.map((i) => `D${i}`).join(" ")} ${dims.map((i) => `S${i}`).join(" ")} Offset`

/** A view of memory: a shape, and how far apart its elements lie. */
export interface Strides {
  readonly shape: Shape
  /** Elements of the input from one index to the next, per axis of the output; 0 repeats. */
  readonly strides: readonly number[]
  readonly offset: number
}

const reshapeOp: Op = plain({
  name: "reshape",
  anyDType: true,
  text: "x:(...) -> y:(shape), the same elements in the same order",
  inputs: ["x"],
  params: "",
  view: true,
  infer(inputs, { shape }) {
    const [x] = inputs as [Tensor]
    if (sizeOf(shape as Shape) !== x.size)
      refuse(this, `(${shape}) does not hold ${x.size}`, inputs)
    return { shape: shape as Shape, dtype: x.dtype, params: { N: x.size } }
  },
  vjp: (d, [x]) => [reshape(d, (x as Tensor).shape)],
  cases: [{ x: [3, 4], shape: [2, 6] }],
})

const restrideOp: Op = plain({
  name: "restride",
  text: "x:(...) -> y:(shape), y[i] = x[offset + Σ i·strides]",
  inputs: ["x"],
  params: stridedParams,
  infer: ([x], attrs) => ({
    shape: attrs.shape as Shape,
    params: stridedSizes(attrs as unknown as Strides, (x as Tensor).size),
  }),
  compute({ x, y }, params) {
    walk(params, (to, from) => {
      ;(y as Float64Array)[to] = (x as Float64Array)[from] as number
    })
  },
  vjp: (d, [x], _y, attrs) => [
    apply(restrideAddOp, [d], { ...attrs, target: (x as Tensor).shape }) as Maybe,
  ],
  cases: [
    { x: [3, 31], shape: [31, 3], strides: [1, 31], offset: 0 },
    { x: [33], shape: [5, 33], strides: [0, 1], offset: 0 },
    { x: [2, 8], shape: [2, 2, 4], strides: [8, -4, 1], offset: 4 },
  ],
  gpu: [{ from }],
})

const restrideAddOp: Op = plain({
  name: "restrideAdd",
  text: "x:(shape) -> y:(target), y[offset + Σ i·strides] += x[i]",
  inputs: ["x"],
  params: `${stridedParams} Target`,
  infer: (_inputs, attrs) => ({
    shape: attrs.target as Shape,
    params: {
      ...stridedSizes(attrs as unknown as Strides, sizeOf(attrs.target as Shape)),
      Target: sizeOf(attrs.target as Shape),
    },
  }),
  compute({ x, y }, params) {
    const out = y as Float64Array
    out.fill(0)
    walk(params, (from, to) => {
      out[to] = (out[to] as number) + ((x as Float64Array)[from] as number)
    })
  },
  vjp: (d, _x, _y, attrs) => [apply(restrideOp, [d], attrs)],
  cases: [
    { x: [5, 33], shape: [5, 33], strides: [0, 1], offset: 0, target: [33] },
    { x: [4, 3], shape: [4, 3], strides: [3, 1], offset: 6, target: [7, 3] },
  ],
  gpu: [{ from, groups: (p) => Math.ceil(size(p, "Target") / 256) }],
  rows: () => 1,
})

/** Kernel parameters of a walk that stays inside `size` elements. */
function stridedSizes({ shape, strides, offset }: Strides, size: number): Sizes {
  const pad = maxRank - shape.length
  const reach = shape.map((n, i) => (n - 1) * (strides[i] ?? Number.NaN))
  const first = offset + reach.reduce((a, b) => a + Math.min(0, b), 0)
  const last = offset + reach.reduce((a, b) => a + Math.max(0, b), 0)
  if (sizeOf(shape) > 0 && !(first >= 0 && last < size)) {
    throw new RangeError(
      `restride: (${shape.join(", ")}) by (${strides.join(", ")}) from ${offset} reaches elements ` +
        `${first} … ${last} of ${size}`,
    )
  }
  if (pad < 0) throw new RangeError(`restride: at most ${maxRank} axes, got ${shape.length}`)
  const params: Sizes = { N: sizeOf(shape), Offset: offset }
  for (const i of dims) {
    params[`D${i}`] = i < pad ? 1 : (shape[i - pad] as number)
    params[`S${i}`] = i < pad ? 0 : (strides[i - pad] as number)
  }
  return params
}

/** Visits (dense index, strided index) in row-major order of the dense side. */
function walk(params: Sizes, visit: (dense: number, strided: number) => void): void {
  const total = size(params, "N")
  const counts = dims.map((i) => size(params, `D${i}`))
  const strides = dims.map((i) => size(params, `S${i}`))
  const index = dims.map(() => 0)
  let at = size(params, "Offset")
  for (let n = 0; n < total; n++) {
    visit(n, at)
    for (let axis = maxRank - 1; axis >= 0; axis--) {
      at += strides[axis] as number
      index[axis] = (index[axis] as number) + 1
      if ((index[axis] as number) < (counts[axis] as number)) break
      at -= (strides[axis] as number) * (counts[axis] as number)
      index[axis] = 0
    }
  }
}

/** Row-major strides of a shape, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step
    step *= shape[axis] as number
  }
  return strides
}

/** The same values in memory of their own. */
export const copy = (x: Tensor): Tensor => apply(copyOp, [x])

/** The same elements in another shape of the same size. */
export const reshape = (x: Tensor, shape: Shape): Tensor => apply(reshapeOp, [x], { shape })

/** y[i] = x[offset + Σ i·strides]; strides may be 0 (repeat) or negative (flip). */
export const restride = (x: Tensor, { shape, strides, offset }: Strides): Tensor =>
  apply(restrideOp, [x], { shape, strides, offset })

/** Zeros of shape `target` with x added at y[offset + Σ i·strides]; the adjoint of restride. */
export const spreadInto = (
  x: Tensor,
  target: Shape,
  strides: readonly number[],
  offset = 0,
): Tensor => apply(restrideAddOp, [x], { shape: x.shape, strides, offset, target })

/** Reorders axes: axis i of the result is axis `order[i]` of x. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  if (
    [...order].sort((a, b) => a - b).some((axis, i) => axis !== i) ||
    order.length !== x.shape.length
  ) {
    throw new RangeError(
      `permute: (${order.join(", ")}) does not order the ${x.shape.length} axes of ${x}`,
    )
  }
  const strides = stridesOf(x.shape)
  return restride(x, {
    shape: order.map((axis) => x.shape[axis] as number),
    strides: order.map((axis) => strides[axis] as number),
    offset: 0,
  })
}

/** Repeats axes of size 1, and new leading axes, up to `shape`. */
export function broadcast(x: Tensor, shape: Shape): Tensor {
  if (x.shape.length === shape.length && x.shape.every((n, i) => n === shape[i])) return x
  const pad = shape.length - x.shape.length
  const own = stridesOf(x.shape)
  const strides = shape.map((n, i) => {
    const have = x.shape[i - pad] ?? 1
    if (have !== n && have !== 1) {
      throw new RangeError(
        `broadcast: (${x.shape.join(", ")}) does not spread to (${shape.join(", ")})`,
      )
    }
    return have === 1 ? 0 : (own[i - pad] as number)
  })
  return restride(x, { shape, strides, offset: 0 })
}

/** Indices start … start + count − 1 of one axis. */
export function slice(x: Tensor, axis: number, start: number, count: number): Tensor {
  const strides = stridesOf(x.shape)
  if (!(start >= 0 && count >= 0 && start + count <= (x.shape[axis] ?? -1))) {
    throw new RangeError(`slice: ${start} … ${start + count} of axis ${axis} of ${x}`)
  }
  return restride(x, {
    shape: x.shape.map((n, i) => (i === axis ? count : n)),
    strides,
    offset: start * (strides[axis] as number),
  })
}

export const movementOps: readonly Op[] = [copyOp, reshapeOp, restrideOp, restrideAddOp]
