// The backends that every suite runs on, and the one table of tolerances.
import { availableParallelism } from "node:os"
import { JsBackend } from "../backends/js/index.ts"
import { openWasm, type WasmOptions } from "../backends/wasm/index.ts"
import { openWebgpu } from "../backends/webgpu/index.ts"
import type { Backend, Call, DType } from "../engine/index.ts"

interface Opened {
  readonly label: string
  open(): Promise<Backend>
}

const wasm = (label: string, options: WasmOptions): Opened => ({
  label: `wasm ${label}`,
  open: () => openWasm(options),
})

export const wasmBackends: readonly Opened[] = [
  wasm("relaxed, 1 thread", { simd: "relaxed", threads: 1 }),
  wasm("relaxed, 2 threads", { simd: "relaxed", threads: 2 }),
  wasm("relaxed, 2 threads, wide tiles", { simd: "relaxed", threads: 2, wide: true }),
  wasm("simd, 1 thread", { simd: "simd", threads: 1 }),
  wasm("simd, 3 threads", { simd: "simd", threads: 3 }),
]

const { ELM_REQUIRE_WEBGPU: required, ELM_TEST_BACKENDS: named } = process.env

/** Why nothing is tested on a GPU here. With ELM_REQUIRE_WEBGPU=1 tests fail instead; 0 skips them. */
export const noWebgpu = await (async () => {
  if (required === "1") return undefined
  if (required === "0") return "ELM_REQUIRE_WEBGPU is 0"
  try {
    const backend = await openWebgpu()
    backend.close()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
})()

export const webgpuBackends: readonly Opened[] =
  noWebgpu === undefined ? [{ label: "webgpu", open: () => openWebgpu() }] : []

const wanted = named?.split(",")

export const allBackends: readonly Opened[] = [
  { label: "js", open: async () => new JsBackend() },
  ...wasmBackends,
  ...webgpuBackends,
].filter(({ label }) => !wanted || wanted.includes(label))

export const cores = availableParallelism()

/** Largest error allowed, as a fraction of the largest reference value. */
export const tolerance: Record<DType, number> = {
  f32: 1e-5,
  f16: 2 ** -10,
  bf16: 2 ** -7,
  i32: 0,
  u8: 0,
}

/** As much for products of one row with quantised weights, which round that row to 8 bits. */
const roundedRow = 0.015

export const limitOf = ({ op, params }: Call, dtype: DType): number =>
  op.name.endsWith("Quantised") && params.M === 1 ? roundedRow : tolerance[dtype]

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
