// A tensor is a shape, a dtype and where its values come from: a call, device memory, or numbers
// known when the graph is recorded. It holds no values of its own: run.ts reads them.
import type { Backend, Buffer } from "./backend.ts"
import { checkArray, checkBackend, checkBuffer, checkLayout, checkTensor, kindOf } from "./check.ts"
import { type DType, encode, itemBytes, type TypedArray } from "./dtype.ts"
import { checkFreed } from "./lifetime.ts"
import type { Call } from "./op.ts"

/** Sizes of all axes, the last one contiguous. */
export type Shape = readonly number[]

/** Where values come from: a call, memory of a backend, or numbers. */
export type Origin =
  | { readonly kind: "call"; readonly call: Call; readonly output: number }
  | { readonly kind: "bound"; readonly buffer: Buffer; readonly offset: number }
  | { readonly kind: "constant"; readonly data: TypedArray }

/** Values to be: a shape and a dtype, and what they come from. Recording moves none. */
export class Tensor {
  readonly shape: Shape
  readonly dtype: DType
  readonly origin: Origin

  constructor(shape: Shape, dtype: DType, origin: Origin) {
    this.shape = shape
    this.dtype = dtype
    this.origin = origin
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  /** Bytes of its elements. */
  get bytes(): number {
    return this.size * itemBytes(this.dtype)
  }

  /** Dtype and shape, such as f32(3, 5). */
  toString(): string {
    return `${this.dtype}(${this.shape.join(", ")})`
  }
}

export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1)

/** A tensor of known numbers, embedded in the plans that use it. */
export function constant(values: ArrayLike<number>, shape: Shape, dtype: DType = "f32"): Tensor {
  checkArray("constant: the values", values, "numbers")
  checkLayout("constant", shape, dtype)
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(
      `constant: shape (${shape.join(", ")}) takes ${sizeOf(shape)} values, got ${values.length}`,
    )
  }
  const data = values instanceof Float64Array ? values : encode(dtype, values)
  return new Tensor(shape, dtype, { kind: "constant", data })
}

/** A tensor that lives in device memory from `offset` bytes on: a parameter, an input, a cache. */
export function bound(buffer: Buffer, shape: Shape, dtype: DType = "f32", offset = 0): Tensor {
  checkBuffer("bound: the buffer", buffer)
  checkLayout("bound", shape, dtype)
  const bytes = sizeOf(shape) * itemBytes(dtype)
  if (!Number.isInteger(offset) || offset % itemBytes(dtype) !== 0 || offset < 0) {
    const found = typeof offset === "number" ? offset : kindOf(offset)
    throw new RangeError(`bound: offset must be a multiple of ${itemBytes(dtype)}, got ${found}`)
  }
  checkFreed("bound", buffer)
  if (offset + bytes > buffer.bytes) {
    throw new RangeError(
      `bound: ${dtype}(${shape.join(", ")}) at ${offset} ends at byte ${offset + bytes}, ` +
        `the buffer has ${buffer.bytes}`,
    )
  }
  return new Tensor(shape, dtype, { kind: "bound", buffer, offset })
}

/** Allocates memory for a tensor, if possible close to that of `near`, and binds it. */
export function allocate(
  backend: Backend,
  shape: Shape,
  dtype: DType = "f32",
  near?: Tensor,
): Tensor {
  checkBackend("allocate: the backend", backend)
  checkLayout("allocate", shape, dtype)
  if (near !== undefined) checkTensor("allocate: near", near)
  const bytes = sizeOf(shape) * itemBytes(dtype)
  return bound(backend.alloc(bytes, dtype, near && bufferOf(near)), shape, dtype)
}

/** Bytes of its memory before a bound tensor. */
export const offsetOf = ({ origin }: Tensor): number =>
  origin.kind === "bound" ? origin.offset : 0

/** The memory of a bound tensor; TypeError for any other. */
export function bufferOf(tensor: Tensor): Buffer {
  checkTensor("bufferOf: the tensor", tensor)
  if (tensor.origin.kind === "bound") return tensor.origin.buffer
  throw new TypeError(
    `expected a tensor in device memory, got the result of a ${tensor.origin.kind}`,
  )
}
