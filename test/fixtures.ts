// Golden numbers made by the original implementation (test/fixtures), read with our own reader.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { constant, type DType, decode, type Shape, type Tensor, viewOf } from "../engine/index.ts"
import { openSafetensors } from "../model/index.ts"

/** A file under test/fixtures, from the compiled test. */
export const fixture = (path: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${path}`, import.meta.url))

export const fixtureJson = (path: string) => JSON.parse(readFileSync(fixture(path), "utf8"))

export interface Golden {
  readonly shape: Shape
  readonly values: Float64Array
}

/** Every tensor of a fixture by name. */
export async function golden(path: string): Promise<Map<string, Golden>> {
  const file = await openSafetensors(fixture(path))
  const all = new Map<string, Golden>()
  for (const [name, { dtype, shape, bytes }] of file.tensors) {
    const raw = new Uint8Array(bytes)
    await file.read(name, 0, raw)
    all.set(name, { shape, values: numbers(dtype, raw.buffer) })
  }
  await file.close()
  return all
}

function numbers(dtype: string, raw: ArrayBuffer): Float64Array {
  if (dtype === "F64") return new Float64Array(raw)
  if (dtype === "I64") return Float64Array.from(new BigInt64Array(raw), Number)
  const name = dtype.toLowerCase() as DType
  return decode(name, viewOf(name, raw))
}

/** One golden tensor as a constant, in another shape if given. */
export function tensorOf(
  all: ReadonlyMap<string, Golden>,
  name: string,
  shape?: Shape,
  dtype: DType = "f32",
): Tensor {
  const { values, shape: own } = goldenOf(all, name)
  return constant(values, shape ?? own, dtype)
}

export function goldenOf(all: ReadonlyMap<string, Golden>, name: string): Golden {
  const found = all.get(name)
  if (!found) throw new RangeError(`no golden tensor ${name}`)
  return found
}

/** The model of the golden adapters as a folder that `load` reads; removed by the returned function. */
export function peftBase(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "openelm-peft-"))
  copyFileSync(fixture("peft/config.json"), join(path, "config.json"))
  copyFileSync(fixture("peft/base_weights.safetensors"), join(path, "model.safetensors"))
  return { path, remove: () => rmSync(path, { recursive: true }) }
}

/** The golden model as a folder that `load` reads; removed by the returned function. */
export function goldenFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "openelm-golden-"))
  copyFileSync(fixture("model/config.json"), join(path, "config.json"))
  copyFileSync(fixture("model/weights.safetensors"), join(path, "model.safetensors"))
  return { path, remove: () => rmSync(path, { recursive: true }) }
}
