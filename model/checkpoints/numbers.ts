// Rows of a stored tensor as numbers of f32, whatever they lie there as.
import { decode, itemBytes } from "../../engine/index.ts"
import type { StoredTensor } from "./checkpoint.ts"
import type { PlainDType } from "./header.ts"

let halves: Float32Array | undefined

/** The numbers of all halves by their bits. */
export function numbersOfHalves(): Float32Array {
  halves ??= Float32Array.from(
    decode(
      "f16",
      Uint16Array.from({ length: 65536 }, (_, i) => i),
    ),
  )
  return halves
}

/** Numbers of a dtype, which lie at the beginning of a buffer, in f32. */
export function widened(dtype: PlainDType, raw: ArrayBuffer): Float32Array {
  const out = new Float32Array(raw.byteLength / itemBytes(dtype))
  widen(dtype, raw, out)
  return out
}

function widen(dtype: PlainDType, raw: ArrayBuffer, out: Float32Array): void {
  if (dtype === "f32") {
    out.set(new Float32Array(raw))
    return
  }
  const words = new Uint16Array(raw)
  if (dtype === "f16") {
    const table = numbersOfHalves()
    for (let i = 0; i < words.length; i++) out[i] = table[words[i] as number] as number
  } else {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length)
    for (let i = 0; i < words.length; i++) bits[i] = (words[i] as number) << 16
  }
}

/** Fills bytes with numbers of f32: in place, where they are aligned. */
export function fillF32(target: Uint8Array, fill: (out: Float32Array) => void): void {
  const { buffer, byteOffset, length } = target
  if (byteOffset % 4 === 0) {
    fill(new Float32Array(buffer, byteOffset, length / 4))
    return
  }
  const out = new Float32Array(length / 4)
  fill(out)
  target.set(new Uint8Array(out.buffer))
}

/** Fills targets with rows of a tensor in f32; `form` is that of one whose rows are plain numbers. */
export function f32Rows(tensor: StoredTensor, form: PlainDType): StoredTensor["read"] {
  if (tensor.asF32) return tensor.asF32
  return async (start, count, target) => {
    const raw = new Uint8Array((target.length / 4) * itemBytes(form))
    await tensor.read(start, count, raw)
    fillF32(target, (out) => widen(form, raw.buffer, out))
  }
}
