// What tells the weights that an adapter was made beside from others of the same sizes: a few numbers of some
// matrices. In another dtype, of another file or quantized they are nearly the same; of another training they
// have nothing to do with each other.
import { bound, bufferOf, offsetOf, readTensors, type Tensor } from "../../engine/index.ts"
import { panelWidth } from "../../ops/index.ts"
import type { Source } from "../generate/source.ts"
import { isObject, parseJson, show } from "../json.ts"
import { widenedRows } from "../products.ts"
import { type Spec, specsOf } from "../weights/layout.ts"
import { endsOf } from "./ends.ts"

/** A model by its name and by numbers of its matrices, by their names. */
export interface Fingerprint {
  readonly model: string
  readonly tensors: Readonly<Record<string, readonly number[]>>
}

/** The key that it has in the metadata of an adapter's file, where PEFT reads the format alone. */
export const fingerprintKey = "openelm_base"

const matrices = 8
const numbers = 32
/** No size that a prime beyond all of them divides: so every number of a piece is met once. */
const stride = 65537

/** The mean cosine from which on weights count as the same: blocks of 4 bits leave 0.99 of it, of another training
 *  it is 0 ± 0.06. */
const sameFrom = 0.9

/** Numbers of matrices from the first to the last, of their first rows; of tables none, whose first rows hardly
 *  move in training. */
export async function fingerprintOf(source: Source): Promise<Fingerprint> {
  const { decoder, backend } = source
  const { embedding, head } = endsOf(source)
  const all = specsOf(decoder.config).filter(
    ({ matrix, name }) => matrix && name !== embedding && name !== head,
  )
  const count = Math.min(matrices, all.length)
  const chosen = Array.from({ length: count }, (_, i) => {
    const at = Math.floor((i * (all.length - 1)) / Math.max(1, count - 1))
    return all[at] as Spec
  })
  const tensors: Record<string, number[]> = {}
  for (const spec of chosen) {
    const first = firstRows(spec, await source.whole(spec.name))
    const [values] = await readTensors([first], backend)
    tensors[spec.name] = some(values as Float32Array)
  }
  return { model: decoder.config.name, tensors }
}

/** Rows of the first panel of each part.  → (N, K) */
function firstRows({ shape, halves: Halves }: Spec, weight: Tensor): Tensor {
  const [rows, K] = shape as [number, number]
  const { shape: panels, dtype } = weight
  const w = bound(bufferOf(weight), [Halves, ...panels.slice(1)], dtype, offsetOf(weight))
  return widenedRows(w, { N: Math.min(panelWidth * Halves, rows), K, Halves })
}

const some = (values: Float32Array): number[] =>
  Array.from({ length: Math.min(numbers, values.length) }, (_, i) =>
    Number((values[(i * stride) % values.length] as number).toPrecision(3)),
  )

/** What metadata of a file says; undefined where it says nothing. Throws SyntaxError for what cannot be read. */
export function readFingerprint(
  metadata: ReadonlyMap<string, string>,
  file: string,
): Fingerprint | undefined {
  const text = metadata.get(fingerprintKey)
  if (text === undefined) return undefined
  const name = `${file}: ${fingerprintKey}`
  const found = parseJson(new TextEncoder().encode(text), name)
  const { model, tensors } = isObject(found) ? found : {}
  const isList = (x: unknown): boolean =>
    Array.isArray(x) && x.every((each) => typeof each === "number")
  if (typeof model === "string" && isObject(tensors) && Object.values(tensors).every(isList)) {
    return { model, tensors: tensors as Fingerprint["tensors"] }
  }
  throw new SyntaxError(`${name} is ${show(found)}, expected a model's name and numbers of tensors`)
}

/** Throws RangeError where a model's weights are not those that an adapter of `file` was made beside. */
export async function checkFingerprint(
  file: string,
  wanted: Fingerprint,
  source: Source,
): Promise<void> {
  const own = await fingerprintOf(source)
  const agreed = agreement(wanted, own)
  if (agreed >= sameFrom) return
  throw new RangeError(
    `${file}: the adapter was made beside ${show(wanted.model)}, and the weights of ${show(own.model)} are ` +
      `others: they agree to ${agreed.toFixed(2)}, in whatever dtype it takes ${sameFrom}. Give the model that ` +
      "it was made beside; anyBase (--any-base) takes it nonetheless",
  )
}

/** The mean cosine of the numbers of tensors: 1 of the same, 0 of others, or of names that only one has. */
export function agreement(a: Fingerprint, b: Fingerprint): number {
  const names = [...new Set([...Object.keys(a.tensors), ...Object.keys(b.tensors)])]
  const each = names.map((name) => cosine(a.tensors[name] ?? [], b.tensors[name] ?? []))
  return each.reduce((sum, x) => sum + x, 0) / Math.max(1, names.length)
}

function cosine(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return 0
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, i) => sum + value * (y[i] as number), 0)
  const norms = Math.sqrt(dot(a, a) * dot(b, b))
  // Of zeros alone nothing tells one from another.
  if (norms === 0) return dot(a, a) === dot(b, b) ? 1 : 0
  return dot(a, b) / norms
}
