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
  if (dtype === "f32") return new Float32Array(raw)
  const words = new Uint16Array(raw)
  const out = new Float32Array(words.length)
  if (dtype === "f16") {
    const table = numbersOfHalves()
    for (let i = 0; i < words.length; i++) out[i] = table[words[i] as number] as number
  } else {
    const bits = new Uint32Array(out.buffer)
    for (let i = 0; i < words.length; i++) bits[i] = (words[i] as number) << 16
  }
  return out
}

/** Fills targets with rows of a tensor in f32; `form` is that of one whose rows are plain numbers. */
export function f32Rows(tensor: StoredTensor, form: PlainDType): StoredTensor["read"] {
  if (tensor.asF32) return tensor.asF32
  return async (start, count, target) => {
    const raw = new Uint8Array((target.length / 4) * itemBytes(form))
    await tensor.read(start, count, raw)
    target.set(new Uint8Array(widened(form, raw.buffer).buffer))
  }
}
