// Runs recorded graphs: once for a loose tensor, or compiled for many replays.
import type { Backend, Prepared } from "./backend.ts"
import { checkBackend, checkTensor } from "./check.ts"
import { type TypedArray, viewOf } from "./dtype.ts"
import { checkFreed } from "./lifetime.ts"
import { plan, type Update } from "./plan.ts"
import { allocate, bufferOf, offsetOf, type Tensor } from "./tensor.ts"

/** Plans and runs whatever a tensor needs, and returns its values in row-major order. */
export async function read(tensor: Tensor, backend: Backend): Promise<TypedArray> {
  checkTensor("read: the tensor", tensor)
  const [values] = await readTensors([tensor], backend)
  return values as TypedArray
}

/** Values of several tensors from one run of the plan that computes them all. */
export async function readTensors(
  tensors: readonly Tensor[],
  backend: Backend,
): Promise<TypedArray[]> {
  checkBackend("read: the backend", backend)
  const targets = tensors.map((t) => allocate(backend, t.shape, t.dtype))
  try {
    await runOnce(
      backend,
      targets.map((target, i) => [target, tensors[i] as Tensor]),
    )
    return await Promise.all(targets.map((t) => readBound(t, backend)))
  } finally {
    for (const target of targets) bufferOf(target).free()
  }
}

/** Runs the updates once and frees the plan's memory. */
export async function runOnce(backend: Backend, updates: readonly Update[]): Promise<void> {
  checkBackend("runOnce: the backend", backend)
  const prepared: Prepared = backend.prepare(plan(updates, backend))
  try {
    await prepared.run()
  } finally {
    prepared.close()
  }
}

/** Copies bytes of a tensor in device memory, from byte `at` on, into memory that is there: fresh memory takes
 *  longer than what is copied into it. */
export async function readInto(
  tensor: Tensor,
  backend: Backend,
  target: Uint8Array,
  at = 0,
): Promise<void> {
  const [buffer, offset] = [bufferOf(tensor), offsetOf(tensor) + at]
  if (backend.readInto) return backend.readInto(buffer, target, offset)
  target.set(new Uint8Array(await backend.read(buffer, target.length, offset)))
}

/** Values of a tensor in device memory. */
export async function readBound(tensor: Tensor, backend: Backend): Promise<TypedArray> {
  checkTensor("read: the tensor", tensor)
  checkBackend("read: the backend", backend)
  const buffer = bufferOf(tensor)
  checkFreed("read", buffer)
  return viewOf(tensor.dtype, await backend.read(buffer, tensor.bytes, offsetOf(tensor)))
}
