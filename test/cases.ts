// Makes the inputs of an op's cases: seeded, of awkward sizes, the same for every backend.
import {
  type Attrs,
  allocate,
  type Backend,
  bufferOf,
  type Call,
  type Case,
  constant,
  type DType,
  decode,
  encode,
  normalAt,
  type Op,
  runOnce,
  type Shape,
  type Sizes,
  sizeOf,
  Tensor,
} from "../engine/index.ts"
import { JsBackend, JsBuffer } from "../backends/js/index.ts"

/** Records a call of the op for a case; `shift` moves every f32 input, for finite differences. */
export function recordCase(op: Op, test: Case, shift?: (input: number, i: number) => number): Call {
  const attrs = Object.fromEntries(
    Object.entries(test).filter(([key]) => !op.inputs.includes(key) && !key.endsWith("Type")),
  ) as Attrs
  const inputs = op.inputs.map((name, n) => {
    const shape = shapeOf(op, test, name, n)
    const dtype = (test[`${name}Type`] ?? slotType(op, n)) as DType
    const given = op.signature ? (test[name] as readonly number[] | undefined) : undefined
    const draw = op.sample(name, test as Sizes) ?? ((i: number) => normalAt(n + 1, op.name.length, 0, i))
    const values = Float64Array.from({ length: sizeOf(shape) }, (_, i) => given?.[i] ?? draw(i))
    const stored = decode(dtype, encode(dtype, values))
    if (shift && dtype === "f32") stored.forEach((v, i) => stored.fill(v + shift(n, i), i, i + 1))
    return constant(stored, shape, dtype)
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

/** Values of tensors in float64, as the js backend computes them. */
export async function oracle(tensors: readonly Tensor[]): Promise<Float64Array[]> {
  const backend = new JsBackend()
  const targets = tensors.map((t) => allocate(backend, t.shape, t.dtype))
  await runOnce(backend, targets.map((target, i) => [target, tensors[i] as Tensor]))
  return targets.map((t) => (bufferOf(t) as JsBuffer).values)
}

/** Values of a call's outputs on a backend. */
export async function outputsOn(backend: Backend, call: Call): Promise<Float64Array[]> {
  const targets = call.outputs.map((t) => allocate(backend, t.shape, t.dtype))
  await runOnce(backend, targets.map((target, i) => [target, call.outputs[i] as Tensor]))
  const values: Float64Array[] = []
  for (const target of targets) {
    const raw = await backend.read(bufferOf(target), target.bytes)
    const view = target.dtype === "f32" ? new Float32Array(raw) : target.dtype === "i32" ? new Int32Array(raw) : new Uint16Array(raw)
    values.push(decode(target.dtype, view))
    bufferOf(target).free()
  }
  return values
}

export const caseName = (op: Op, test: Case): string =>
  `${op.name} ${Object.entries(test).map(([k, v]) => `${k}=${Array.isArray(v) ? v.join("·") : v}`).join(" ")}`

/** Seeded cotangents of a call's float outputs; none for integer outputs. */
export const cotangentsOf = (call: Call): (Tensor | undefined)[] =>
  call.outputs.map((y, n) =>
    y.dtype === "i32"
      ? undefined
      : constant(Float64Array.from({ length: y.size }, (_, i) => normalAt(77, n, 0, i)), y.shape),
  )
