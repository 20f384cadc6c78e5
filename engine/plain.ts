// Declares plain ops: those that everything else means, of any rank, each with its own plain loop. A
// backend that has these kernels runs every model. The engine itself needs two: copy, where a value is
// wanted in two places, and add, where two cotangents meet. Their kernels lie with the others'.
import { type DType, dtypeCode, itemBytes } from "./dtype.ts"
import type { KernelVariant } from "./kernel.ts"
import { type Arrays, type Attrs, type Case, type Maybe, newCall, type Op } from "./op.ts"
import type { Sizes } from "./signature.ts"
import type { Tensor } from "./tensor.ts"

interface Inferred {
  readonly shape: readonly number[]
  readonly dtype?: DType
  readonly params: Sizes
}

interface PlainSpec {
  readonly name: string
  readonly text: string
  readonly inputs: readonly string[]
  readonly params: string
  readonly view?: boolean
  /** Whether inputs of other dtypes than f32 are taken. */
  readonly anyDType?: boolean
  readonly infer: (inputs: readonly Tensor[], attrs: Attrs) => Inferred
  readonly compute?: (arrays: Arrays, params: Sizes) => void
  readonly vjp: (d: Tensor, inputs: readonly Tensor[], y: Tensor, attrs: Attrs) => readonly Maybe[]
  readonly cases: readonly Case[]
  readonly gpu?: readonly KernelVariant[]
  readonly rows?: (params: Sizes) => number
}

/** Elements per work item of the kernels that walk memory front to back. */
const chunk = 1024

/** Any sizes and attributes; the caller's `infer` has put in what `compute` reads. */
export const size = (params: Sizes, name: string): number => {
  const value = params[name]
  if (value === undefined) throw new TypeError(`no parameter ${name}`)
  return value
}

/** One output `y`, whose shape follows from `infer`. */
export function plain(spec: PlainSpec): Op {
  const self: Op = {
    name: spec.name,
    text: spec.text,
    inputs: spec.inputs,
    outputs: ["y"],
    params: spec.params.split(" ").filter(Boolean),
    view: spec.view ?? false,
    alias: {},
    cases: spec.cases,
    alternatives: [],
    norms: 0,
    isProduct: false,
    gpu: spec.gpu ?? [],
    signature: undefined,
    results: undefined,
    record(inputs, attrs) {
      if (inputs.length !== spec.inputs.length) {
        throw new TypeError(
          `${spec.name}: takes ${spec.inputs.length} tensors, got ${inputs.length}\n  takes ${spec.text}`,
        )
      }
      inputs.forEach(({ dtype }, i) => {
        if (dtype === "f32" || spec.anyDType) return
        const name = spec.inputs[i]
        throw new TypeError(`${spec.name}: ${name} is ${dtype}, expected f32\n  takes ${spec.text}`)
      })
      const { shape, dtype = "f32", params } = spec.infer(inputs, attrs)
      const types = Object.fromEntries(
        inputs.map((x, i) => [`${spec.inputs[i]}Type`, dtypeCode(x.dtype)]),
      )
      return newCall(self, inputs, [{ shape, dtype }], attrs, {
        ...types,
        yType: dtypeCode(dtype),
        ...params,
      })
    },
    meaning: undefined,
    vjp: ({ inputs, outputs, attrs }, [d]) =>
      d ? spec.vjp(d, inputs, outputs[0] as Tensor, attrs) : inputs.map(() => undefined),
    compute: spec.compute,
    rows: spec.rows ?? ((p) => Math.ceil(size(p, "N") / chunk)),
    cost: (p) => ({ bytes: 4 * size(p, "N") * (spec.inputs.length + 1), flops: size(p, "N") }),
    sample: () => undefined,
  }
  return self
}

/** The message of a shape that a plain op refuses, in the form of a signature's. */
export function refuse(
  op: { name: string; text: string },
  reason: string,
  inputs: readonly Tensor[],
): never {
  throw new RangeError(`${op.name}: ${reason}\n  takes ${op.text}\n  got   ${inputs.join(" ")}`)
}

/** The kernels of ops that act on each element alone. */
export const elementKernels: readonly KernelVariant[] = [{ from: ["plain/elementwise.wgsl"] }]

type BinaryVjp = (d: Tensor, a: Tensor, b: Tensor, y: Tensor) => readonly Maybe[]

/** y = f(a, b) for each element of two tensors of one shape. */
export function binary(
  name: string,
  formula: string,
  f: (a: number, b: number) => number,
  vjp: BinaryVjp,
): Op {
  return plain({
    name,
    text: `a:(...) b:(...) -> y:(...), y = ${formula}`,
    inputs: ["a", "b"],
    params: "N",
    infer(inputs) {
      const [a, b] = inputs as [Tensor, Tensor]
      if (a.shape.join() !== b.shape.join()) refuse(this, "shapes differ", inputs)
      return { shape: a.shape, params: { N: a.size } }
    },
    compute: ({ a, b, y }, params) =>
      each(params, y, (i) => f((a as Float64Array)[i] as number, (b as Float64Array)[i] as number)),
    vjp: (d, [a, b], y) => vjp(d, a as Tensor, b as Tensor, y),
    cases: [
      { a: [1], b: [1] },
      { a: [3, 31], b: [3, 31] },
      { a: [4099], b: [4099] },
    ],
    gpu: elementKernels,
  })
}

/** y[i] = f(i) for as many elements as the params say. */
export function each(params: Sizes, y: Float64Array | undefined, f: (i: number) => number): void {
  const out = y as Float64Array
  const count = size(params, "N")
  for (let i = 0; i < count; i++) out[i] = f(i)
}

export const addOp = binary(
  "add",
  "a + b",
  (a, b) => a + b,
  (d) => [d, d],
)

export const copyOp: Op = plain({
  name: "copy",
  anyDType: true,
  text: "x:(...) -> y:(...)",
  inputs: ["x"],
  params: "Bytes",
  infer: ([x]) => ({
    shape: (x as Tensor).shape,
    dtype: (x as Tensor).dtype,
    params: { N: (x as Tensor).size, Bytes: (x as Tensor).size * itemBytes((x as Tensor).dtype) },
  }),
  compute: ({ x, y }) => (y as Float64Array).set((x as Float64Array).subarray(0, y?.length)),
  vjp: (d) => [d],
  cases: [{ x: [3, 31] }],
  gpu: [{ from: ["plain/movement.wgsl"] }],
  rows: (p) => Math.ceil(size(p, "Bytes") / 4096),
})
