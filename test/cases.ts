// Values of recorded calls: in float64 as the oracle has them, and as a backend computes them, here
// and in pages.
import { JsBackend, type JsBuffer } from "../backends/js/index.ts"
import {
  allocate,
  type Backend,
  bufferOf,
  type Call,
  constant,
  decode,
  normalAt,
  runOnce,
  type Tensor,
  viewOf,
} from "../engine/index.ts"
import { fusedOps, q8Numbers, q8RowBytes } from "../ops/index.ts"
import { limitOf, relativeError } from "./tolerance.ts"

/** Values of tensors in float64, as the js backend computes them. */
export async function oracle(tensors: readonly Tensor[]): Promise<Float64Array[]> {
  const backend = new JsBackend()
  const targets = tensors.map((t) => allocate(backend, t.shape, t.dtype))
  await runOnce(
    backend,
    targets.map((target, i) => [target, tensors[i] as Tensor]),
  )
  return targets.map((t) => (bufferOf(t) as JsBuffer).values)
}

/** Values of a call's outputs on a backend. */
export async function outputsOn(backend: Backend, call: Call): Promise<Float64Array[]> {
  const targets = call.outputs.map((t) => allocate(backend, t.shape, t.dtype))
  await runOnce(
    backend,
    targets.map((target, i) => [target, call.outputs[i] as Tensor]),
  )
  const values: Float64Array[] = []
  for (const target of targets) {
    const raw = await backend.read(bufferOf(target), target.bytes)
    values.push(decode(target.dtype, viewOf(target.dtype, raw)))
    bufferOf(target).free()
  }
  return values
}

/** What is wrong with a backend's values of a call, which may be of other tensors with the same
 *  values; "" where they are those of the oracle. */
export async function kernelError(backend: Backend, call: Call, same = call): Promise<string> {
  return errorsOf(call, backend, await outputsOn(backend, same), await oracle(call.outputs))
}

/** What is wrong with values of a call that a backend gave. */
export const errorsOf = (
  call: Call,
  backend: Backend,
  got: readonly Float64Array[],
  want: readonly Float64Array[],
): string =>
  call.outputs
    .flatMap((y, i) => reportOutput(call, i, got[i], want[i], limitOf(call, y.dtype, backend.name)))
    .join()

/** Rows of q8 that fused ops write are of numbers that f32 rounds: at an edge a byte is another. */
const oneByte = 1.01 / 127

/** What is wrong with the values of one output. */
export function reportOutput(
  { op, outputs }: Call,
  i: number,
  got: Float64Array | undefined,
  want: Float64Array | undefined,
  limit: number,
): string[] {
  const { dtype, shape } = outputs[i] as Tensor
  if (dtype !== "u8" || !fusedOps.includes(op)) return report(op.outputs[i], got, want, limit)
  const E = (shape.at(-1) as number) - q8RowBytes(0)
  return report(op.outputs[i], q8Numbers(got ?? [], E), q8Numbers(want ?? [], E), oneByte)
}

export function report(
  name = "",
  got: Float64Array = new Float64Array(),
  want: Float64Array = got,
  limit = 0,
): string[] {
  const error = relativeError(got, want)
  return error <= limit ? [] : [`${name} is off by ${error.toExponential(2)}, limit ${limit}`]
}

/** Seeded cotangents of a call's float outputs; none for integer outputs. */
export const cotangentsOf = (call: Call): (Tensor | undefined)[] =>
  call.outputs.map((y, n) =>
    y.dtype === "i32"
      ? undefined
      : constant(
          Float64Array.from({ length: y.size }, (_, i) => normalAt(77, n, 0, i)),
          y.shape,
        ),
  )
