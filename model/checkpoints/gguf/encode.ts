// Metadata and tensors as the header of a GGUF file, version 3.
import { blockTypes } from "./blocks.ts"

/** A value with the type that it is written in. */
export type Typed =
  | { readonly u16: number }
  | { readonly u32: number }
  | { readonly i32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] }
  | { readonly texts: readonly string[] }

type Put = (bytes: Bytes, value: never) => void

/** Number of a type, what writes a value, and whether it is a list of these. */
const types: Readonly<Record<string, readonly [number, Put, boolean]>> = {
  u16: [2, (to, n: number) => to.u16(n), false],
  u32: [4, (to, n: number) => to.u32(n), false],
  i32: [5, (to, n: number) => to.u32(n), false],
  f32: [6, (to, x: number) => to.f32(x), false],
  bool: [7, (to, is: boolean) => to.u8(is ? 1 : 0), false],
  text: [8, (to, text: string) => to.text(text), false],
  i32s: [5, (to, n: number) => to.u32(n), true],
  f32s: [6, (to, x: number) => to.f32(x), true],
  texts: [8, (to, text: string) => to.text(text), true],
}
const listType = 9

/** A tensor to be written: row-major shape. */
export interface TensorInfo {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: string
  readonly bytes: number
}

const alignment = 32

export const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

/** The bytes of a tensor in a type. */
export function bytesAs(shape: readonly number[], type: string): number {
  const { values, bytes } = typeNamed(type)
  return (shape.reduce((a, b) => a * b, 1) / values) * bytes
}

const typeNamed = (name: string) => {
  const found = [...blockTypes.values()].find((type) => type.name === name)
  if (found) return found
  throw new RangeError(`no type of GGUF is named ${name}`)
}

/** Everything before the data, which begins aligned behind it. */
export function headerBytes(
  metadata: ReadonlyMap<string, Typed>,
  tensors: readonly TensorInfo[],
): Uint8Array {
  const to = new Bytes()
  to.raw(new TextEncoder().encode("GGUF"))
  to.u32(3)
  to.u64(tensors.length)
  to.u64(metadata.size)
  for (const [key, value] of metadata) {
    const [kind, content] = Object.entries(value)[0] as [string, unknown]
    const [type, put, isList] = types[kind] as (typeof types)[string]
    to.text(key)
    if (isList) to.u32(listType)
    to.u32(type)
    const list = isList ? (content as readonly unknown[]) : [content]
    if (isList) to.u64(list.length)
    for (const each of list) put(to, each as never)
  }
  let offset = 0
  for (const { name, shape, type, bytes } of tensors) {
    to.text(name)
    to.u32(shape.length)
    for (const n of shape.toReversed()) to.u64(n)
    to.u32(typeNamed(type).id)
    to.u64(offset)
    offset += padded(bytes)
  }
  return to.padded()
}

/** Bytes that grow as they are written. */
class Bytes {
  #bytes = new Uint8Array(1 << 16)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  u8 = (n: number): void => this.#put(1, (view, at) => view.setUint8(at, n))
  u16 = (n: number): void => this.#put(2, (view, at) => view.setUint16(at, n, true))
  u32 = (n: number): void => this.#put(4, (view, at) => view.setUint32(at, n, true))
  f32 = (x: number): void => this.#put(4, (view, at) => view.setFloat32(at, x, true))
  u64 = (n: number): void => this.#put(8, (view, at) => view.setBigUint64(at, BigInt(n), true))

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  text(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u64(bytes.length)
    this.raw(bytes)
  }

  /** All of them, with zeros to the next aligned place. */
  padded(): Uint8Array {
    this.#room(padded(this.#length) - this.#length)
    return this.#bytes.subarray(0, this.#length)
  }

  /** The view is asked for after there is room: it may be another one then. */
  #put(count: number, write: (view: DataView, at: number) => void): void {
    const at = this.#room(count)
    write(this.#view, at)
  }

  /** Where that many bytes are to be written. */
  #room(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const wider = new Uint8Array(2 * this.#length)
      wider.set(this.#bytes)
      this.#bytes = wider
      this.#view = new DataView(wider.buffer)
    }
    return at
  }
}
