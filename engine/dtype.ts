// Element types and their conversion to and from plain numbers. Storage is little-endian; what the
// numbers mean is left to the ops.

/** Types of elements; u8 are bytes of quantized blocks. */
export type DType = "f32" | "f16" | "bf16" | "i32" | "u8"
/** What holds elements: half words for f16 and bf16. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array

const items: Record<DType, { bytes: number; code: number }> = {
  f32: { bytes: 4, code: 0 },
  f16: { bytes: 2, code: 1 },
  bf16: { bytes: 2, code: 2 },
  i32: { bytes: 4, code: 3 },
  u8: { bytes: 1, code: 4 },
}

/** Bytes of one element. */
export const itemBytes = (dtype: DType): number => items[dtype].bytes

/** The number by which kernels know a dtype: f32 0, f16 1, bf16 2, i32 3, u8 4. */
export const dtypeCode = (dtype: DType): number => items[dtype].code

export const isDType = (name: string): name is DType => Object.hasOwn(items, name)

const word = new Uint32Array(1)
const single = new Float32Array(word.buffer)

/** Bits of the bfloat16 nearest to x, ties to even; NaN stays NaN. */
export function toBf16(x: number): number {
  single[0] = x
  const bits = word[0] as number
  if (Number.isNaN(x)) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

export function fromBf16(bits: number): number {
  word[0] = bits << 16
  return single[0] as number
}

/** Bits of the IEEE half nearest to x, ties to even; overflow gives infinity. */
function toF16(x: number): number {
  single[0] = x
  const bits = word[0] as number
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) return sign | roundEven(Math.abs(single[0] as number) * 2 ** 24)
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
  return sign | ((rounded - 0x38000000) >>> 13)
}

function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Whether a kernel that gets x as f32 gets a number that is finite, and 0 only for 0: GPUs may take
 *  what is below 2⁻¹²⁶ for 0. */
export function isSingle(x: number): boolean {
  const magnitude = Math.abs(Math.fround(x))
  return x === 0 || (magnitude >= leastSingle && magnitude < Number.POSITIVE_INFINITY)
}

/** The smallest number above 0 that f32 holds in full. */
const leastSingle = 2 ** -126

/** The nearest whole number, ties to even. */
export function roundEven(x: number): number {
  const below = Math.floor(x)
  if (x - below !== 0.5) return Math.round(x)
  return below % 2 === 0 ? below : below + 1
}

/** Numbers of raw elements; f16 and bf16 come as Uint16Array bits. */
export function decode(dtype: DType, raw: TypedArray): Float64Array {
  if (dtype === "f16") return filled(new Float64Array(raw.length), raw, fromF16)
  if (dtype === "bf16") return filled(new Float64Array(raw.length), raw, fromBf16)
  return Float64Array.from(raw)
}

/** Raw elements of numbers, rounded to the dtype. */
export function encode(dtype: DType, values: ArrayLike<number>): TypedArray {
  if (dtype === "f16") return filled(new Uint16Array(values.length), values, toF16)
  if (dtype === "bf16") return filled(new Uint16Array(values.length), values, toBf16)
  if (dtype === "u8") return Uint8Array.from(values)
  return dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values)
}

/** A loop, which takes a tenth of what `from` with a function does. */
function filled<T extends TypedArray>(out: T, of: ArrayLike<number>, to: (x: number) => number): T {
  for (let i = 0; i < out.length; i++) out[i] = to(of[i] as number)
  return out
}

/** A typed view of bytes that hold elements of a dtype. */
export function viewOf(dtype: DType, bytes: ArrayBuffer, offset = 0, count?: number): TypedArray {
  if (dtype === "f32") return new Float32Array(bytes, offset, count)
  if (dtype === "i32") return new Int32Array(bytes, offset, count)
  if (dtype === "u8") return new Uint8Array(bytes, offset, count)
  return new Uint16Array(bytes, offset, count)
}
