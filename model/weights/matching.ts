// Which tensors of a checkpoint a model's weights are made of: found by the names that different programs
// give them, and of the shapes that the config says. Reading them is left to rows.ts.
import type { Rows, Strays, WeightSpec } from "../architecture.ts"
import type { Checkpoint, StoredTensor } from "../checkpoints/checkpoint.ts"
import { fileDTypes, plainDTypes } from "../checkpoints/header.ts"
import { isBuffer, plainName } from "../checkpoints/names.ts"
import { isQuantized, type QuantizedFormat } from "../checkpoints/quantized_format.ts"
import { show } from "../json.ts"
import { formOf, stored, type WeightDType } from "./layout.ts"
import { rowsOf, type StoredRows, type TensorSource } from "./rows.ts"

/** A weight that a model needs. */
export type Wanted = Pick<WeightSpec, "name" | "shape" | "kind" | "from">

type WeightTensors = Pick<Checkpoint, "name" | "tensors" | "panels">

/**
 * The source of every weight by its name. Throws RangeError or TypeError for tensors that are missing,
 * left over, there twice, of another shape or of a type that no kernel takes; `advice` ends what is said
 * of the first two.
 */
export async function matched(
  checkpoint: WeightTensors,
  wanted: readonly Wanted[],
  { copies, ignored, refused }: Strays,
  advice: string,
): Promise<Map<string, TensorSource>> {
  const { name: at, panels } = checkpoint
  const found = await byPlainName(checkpoint, copies)
  const lists = wanted.map((weight) => ({ weight, parts: partsOf(weight, panels) }))
  const known = new Set(lists.flatMap(({ parts }) => parts.map(({ name }) => name)))
  const unexpected = [...found.keys()].filter((name) => !known.has(name) && !ignored?.test(name))
  for (const name of unexpected) {
    const why = refused?.get(name)
    if (why !== undefined) throw new RangeError(`${at} has ${name}, ${why}`)
  }
  const missing = lists.flatMap(({ parts }) =>
    parts.map(({ name }) => name).filter((name) => !found.has(name)),
  )
  if (missing.length > 0) throw wrongNames(at, "misses", [...new Set(missing)], advice)
  if (unexpected.length > 0) throw wrongNames(at, "has unexpected", unexpected, advice)
  return new Map(
    lists.map(({ weight, parts }) => {
      const pieces = parts.map(({ name, ...rows }) => ({
        ...rows,
        tensor: found.get(name) as StoredTensor,
      }))
      return [weight.name, sourceOf(weight, pieces, panels)]
    }),
  )
}

/** Rows of a tensor by its plain name, of which each is read. */
type NamedRows = Required<Rows>

/** What a weight is made of. Panels are kept as the engine has them: each weight is one tensor. */
function partsOf({ name, shape, from }: Wanted, panels: QuantizedFormat | undefined): NamedRows[] {
  const rows = shape[0] as number
  const parts = panels || !from ? [{ name }] : from
  return parts.map(({ name, start = 0, count = rows }: Rows) => ({
    name: plainName(name),
    start,
    count,
  }))
}

/** Numbers, of one tensor or of several, or panels. */
function sourceOf(
  { kind, shape }: Wanted,
  pieces: readonly StoredRows[],
  panels: QuantizedFormat | undefined,
): TensorSource {
  if (panels) {
    const [{ tensor }] = pieces as [StoredRows]
    const kept = stored({ shape, ...formOf(kind) }, panels)
    checkTensor(tensor, kept.shape, [kept.dtype === "u8" ? panels : "f32"], false)
    return rowsOf([{ tensor, start: 0, count: kept.shape[0] as number }], kept.shape)
  }
  // An embedding may have more rows than the vocabulary: padding, left unread.
  const isPadded = kind === "embedding" && pieces.length === 1
  const ends = new Map<StoredTensor, number>()
  for (const { tensor, start, count } of pieces) {
    ends.set(tensor, Math.max(ends.get(tensor) ?? 0, start + count))
  }
  for (const [tensor, rows] of ends) {
    checkTensor(tensor, [rows, ...shape.slice(1)], plainDTypes, isPadded)
  }
  return rowsOf(pieces, shape)
}

/** All tensors by their plain name; copies are checked, and taken where there is nothing else. */
async function byPlainName(
  { name: at, tensors }: WeightTensors,
  copies: Strays["copies"] = new Map(),
): Promise<Map<string, StoredTensor>> {
  const found = new Map<string, StoredTensor>()
  for (const [name, tensor] of tensors) {
    if (isBuffer(name)) continue
    const plain = plainName(name)
    const other = found.get(plain)
    if (other) {
      throw new RangeError(
        `${at} has both ${show(other.name)} and ${show(name)}. Remove one of them`,
      )
    }
    found.set(plain, tensor)
  }
  for (const [name, original] of copies) {
    const copy = found.get(name)
    if (!copy) continue
    found.delete(name)
    const other = found.get(original)
    if (other) await checkCopy(copy, other)
    else found.set(original, copy)
  }
  return found
}

const copyBytes = 16 << 20

/** Throws RangeError where a tensor that should be a copy of another is not: a model has only one. */
async function checkCopy(copy: StoredTensor, original: StoredTensor): Promise<void> {
  const { shape, dtype, bytes } = original
  const differ = new RangeError(
    `${copy.file}: ${show(copy.name)} is not the same as ${show(original.name)}, but a model of this ` +
      "kind has only one of them. Use another model",
  )
  if (copy.dtype !== dtype || copy.shape.join() !== shape.join()) throw differ
  const [rows = 1, ...row] = shape
  const rowBytes = original.asF32 ? row.reduce((a, b) => a * b, 4) : bytes / rows
  const most = Math.max(1, Math.floor(copyBytes / rowBytes))
  for (let start = 0; start < rows; start += most) {
    const count = Math.min(most, rows - start)
    const [a, b] = await Promise.all(
      [copy, original].map(async (tensor) => {
        const data = new Uint8Array(rowBytes * count)
        await (tensor.asF32 ?? tensor.read)(start, count, data)
        return data
      }),
    )
    if (a?.some((byte, i) => byte !== b?.[i])) throw differ
  }
}

// ---- Errors -------------------------------------------------------------------------------------

function checkTensor(
  { file, name, shape, dtype, form, asF32 }: StoredTensor,
  wanted: readonly number[],
  forms: readonly WeightDType[],
  isPadded: boolean,
): void {
  const at = `${file}: ${show(name)}`
  const [rows = 0, ...row] = wanted
  const [storedRows = 0, ...storedRow] = shape
  const rowsFit = storedRows === rows || (isPadded && storedRows > rows)
  if (!rowsFit || storedRow.length !== row.length || row.some((n, i) => n !== storedRow[i])) {
    const least = isPadded ? " or more rows" : ""
    throw new RangeError(
      `${at} has shape ${show(shape)}, expected ${show(wanted)}${least}. ` +
        "Is config.json that of these weights?",
    )
  }
  const given = asF32 ? "f32" : form
  if (given !== undefined && forms.includes(given)) return
  const names = forms.map((form) => (isQuantized(form) ? "U8" : fileDTypes[form]))
  const expected = names.join(", ").replace(/, (?=\w+$)/, " or ")
  throw new TypeError(`${at} is ${dtype}, expected ${expected}. Convert the model`)
}

function wrongNames(at: string, what: string, names: readonly string[], advice: string) {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : ""
  return new RangeError(
    `${at} ${what} ${names.length === 1 ? "tensor" : `${names.length} tensors:`} ` +
      `${names.slice(0, 3).map(show).join(", ")}${more}. ${advice}`,
  )
}
