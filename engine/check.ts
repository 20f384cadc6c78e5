// What a caller gives, by its kind: JavaScript has no types to hold it to. Messages begin with where it
// was given.
import type { Backend, Buffer } from "./backend.ts"
import { type DType, isDType } from "./dtype.ts"
import type { Shape, Tensor } from "./tensor.ts"

/** Throws TypeError for what is no object. */
export function checkObject(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !isArrayLike(value)) return
  throw new TypeError(`${name} must be an object, got ${kindOf(value)}`)
}

/** Throws TypeError for what is no array, or typed array. */
export function checkArray(name: string, value: unknown, of: string): void {
  if (isArrayLike(value)) return
  throw new TypeError(`${name} must be an array of ${of}, got ${kindOf(value)}`)
}

/** Throws RangeError for what is no whole number from `from` to `to`; `most` says in a message why not
 *  more. */
export function checkWhole(
  name: string,
  value: unknown,
  from: number,
  to = Number.MAX_SAFE_INTEGER,
  most = to < Number.MAX_SAFE_INTEGER ? ` to ${to}` : "",
): asserts value is number {
  if (Number.isInteger(value) && (value as number) >= from && (value as number) <= to) return
  throw new RangeError(`${name} must be a whole number from ${from}${most}, got ${shown(value)}`)
}

const shown = (value: unknown): string =>
  typeof value === "number" ? String(value) : kindOf(value)

export function checkBackend(name: string, value: Pick<Backend, "has">): void {
  if (typeof value?.has === "function") return
  throw new TypeError(`${name} must be an open backend, got ${kindOf(value)}`)
}

export function checkTensor(name: string, value: Tensor): void {
  if (typeof value?.origin?.kind === "string") return
  throw new TypeError(`${name} must be a tensor, got ${kindOf(value)}`)
}

export function checkTensors(name: string, value: readonly Tensor[]): void {
  checkArray(name, value, "tensors")
  value.forEach((each, i) => {
    checkTensor(`${name}[${i}]`, each)
  })
}

export function checkBuffer(name: string, value: Buffer): void {
  if (typeof value?.bytes === "number" && typeof value.free === "function") return
  throw new TypeError(`${name} must be memory of a backend, got ${kindOf(value)}`)
}

/** Throws TypeError for what is no shape or dtype, RangeError for sizes and names that there are not. */
export function checkLayout(where: string, shape: Shape, dtype: DType): void {
  checkArray(`${where}: the shape`, shape, "sizes")
  if (!shape.every((size) => Number.isInteger(size) && size >= 0)) {
    throw new RangeError(`${where}: the shape must hold whole numbers from 0, got (${shape})`)
  }
  if (typeof dtype === "string" && isDType(dtype)) return
  throw new RangeError(`${where}: there is no dtype ${kindOf(dtype)}`)
}

const isArrayLike = (value: unknown): boolean => Array.isArray(value) || ArrayBuffer.isView(value)

/** A value in a message, short. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (isArrayLike(value)) return "an array"
  if (typeof value === "object") return "an object"
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40))
  return typeof value === "function" ? "a function" : `the ${typeof value} ${String(value)}`
}
