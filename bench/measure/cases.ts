// Makes the inputs of an op's cases: seeded, of awkward sizes, the same for every backend, for the
// tests and for the per-op benchmark.
import {
  type Attrs,
  type Call,
  type Case,
  constant,
  type DType,
  decode,
  encode,
  normalAt,
  type Op,
  type Shape,
  type Sizes,
  sizeOf,
  Tensor,
} from "../../engine/index.ts"

/** Records a call of the op for a case; `shift` moves every f32 input, for finite differences. */
export function recordCase(op: Op, test: Case, shift?: (input: number, i: number) => number): Call {
  return recordWith(op, test, (name, n, shape, dtype) => {
    const given = op.signature ? (test[name] as readonly number[] | undefined) : undefined
    const draw =
      op.sample(name, test as Sizes) ?? ((i: number) => normalAt(n + 1, op.name.length, 0, i))
    const values = Float64Array.from({ length: sizeOf(shape) }, (_, i) => given?.[i] ?? draw(i))
    const stored = decode(dtype, encode(dtype, values))
    if (shift && dtype === "f32") {
      for (let i = 0; i < stored.length; i++) stored[i] = (stored[i] as number) + shift(n, i)
    }
    return constant(stored, shape, dtype)
  })
}

/** The same without numbers, as a check of a case's sizes. */
export const outlineCase = (op: Op, test: Case): Call =>
  recordWith(
    op,
    test,
    (_name, _n, shape, dtype) =>
      new Tensor(shape, dtype, { kind: "constant", data: new Float64Array() }),
  )

function recordWith(
  op: Op,
  test: Case,
  make: (name: string, n: number, shape: Shape, dtype: DType) => Tensor,
): Call {
  const attrs = Object.fromEntries(
    Object.entries(test).filter(([key]) => !op.inputs.includes(key) && !key.endsWith("Type")),
  ) as Attrs
  const inputs = op.inputs.map((name, n) => {
    const dtype = (test[`${name}Type`] ?? slotType(op, n)) as DType
    return make(name, n, shapeOf(op, test, name, n), dtype)
  })
  return op.record(inputs, attrs)
}

const slotType = (op: Op, n: number): DType => {
  const types = op.signature?.[n]?.dtypes ?? ["f32"]
  return types === "dtype" ? "f32" : (types[0] as DType)
}

function shapeOf(op: Op, test: Case, name: string, n: number): Shape {
  if (!op.signature) return test[name] as Shape
  return (op.signature[n]?.dims ?? []).map((dim) => dim.value(test as Sizes))
}

export const caseName = (op: Op, test: Case): string =>
  `${op.name} ${Object.entries(test)
    .map(([k, v]) => `${k}=${Array.isArray(v) ? v.join("·") : v}`)
    .join(" ")}`
