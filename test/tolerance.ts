// The one table of tolerances, and how an error is measured; for tests in Node and in pages.
import type { Call, DType } from "../engine/index.ts"

/** Largest error allowed, as a fraction of the largest reference value. */
export const tolerance: Record<DType, number> = {
  f32: 1e-5,
  f16: 2 ** -10,
  bf16: 2 ** -7,
  i32: 0,
  u8: 0,
}

/** As much for products with quantized weights that round their rows to 8 bits. */
const roundedRows = 0.03

/** Largest error allowed of a call on the backend of that name: js rounds no rows. */
export const limitOf = ({ op }: Call, dtype: DType, backend: string): number =>
  op.isProduct && op.name.endsWith("Quantized") && backend !== "js" ? roundedRows : tolerance[dtype]

/** max |got − want| / max |want|; infinities and NaN must stand at the same places. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY
  let error = 0
  let scale = 0
  for (let i = 0; i < want.length; i++) {
    const [g, w] = [got[i] as number, want[i] as number]
    if (Object.is(g, w) || g === w) {
      if (Number.isFinite(w)) scale = Math.max(scale, Math.abs(w))
      continue
    }
    if (!Number.isFinite(g) || !Number.isFinite(w)) return Number.POSITIVE_INFINITY
    error = Math.max(error, Math.abs(g - w))
    scale = Math.max(scale, Math.abs(w))
  }
  return error === 0 ? 0 : error / (scale || 1)
}
