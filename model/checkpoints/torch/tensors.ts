// What PyTorch's pickles say of tensors: a storage of numbers in a member of the file, and views of it
// by offset, sizes and strides. Where a storage's bytes lie is left to archive.ts and legacy.ts.
import { show } from "../../json.ts"
import { type FileDType, itemBytes } from "../header.ts"
import { type Allowed, type Callable, readPickle, type Value } from "./pickle.ts"

/** Numbers of one type, as they lie in a file. */
export interface Storage {
  readonly key: string
  readonly dtype: FileDType
  readonly count: number
}

/** A view of a storage. */
export class View {
  readonly storage: Storage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  constructor(storage: Storage, offset: number, shape: number[], strides: number[]) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

/** Types of storages by the names of their classes. */
const storages: Readonly<Record<string, FileDType>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
}

/** Numbers that a tensor may have more than its storage, by repeating them. */
const mostRepeated = 1 << 20

/**
 * The value of a pickle that holds tensors. Throws SyntaxError for one that is damaged, RangeError for
 * what it asks for beside plain data and tensors, and for tensors that reach out of their storage.
 */
export function readTensors(bytes: Uint8Array, start: number, source: string) {
  const known = new Map<string, Storage>()
  const refuse = (why: string): RangeError =>
    new RangeError(`${source}: ${why}. Download or write it again`)
  const tensor: Callable = {
    named: "torch._utils._rebuild_tensor_v2",
    call: ([storage, offset, shape, strides]) => viewOf(storage, offset, shape, strides, refuse),
  }
  const parameter: Callable = {
    named: "torch._utils._rebuild_parameter",
    call([view]) {
      if (view instanceof View) return view
      throw refuse("a parameter is no tensor")
    },
  }
  const allowed: Allowed = {
    callable(module, name) {
      const [storage] = module === "torch" && Object.hasOwn(storages, name) ? [name] : []
      if (storage !== undefined) return { named: storage }
      return [ordered, sizes, tensor, parameter].find(({ named }) => named === `${module}.${name}`)
    },
    persistent: (id) => storageOf(id, known, refuse),
  }
  return { ...readPickle(bytes, start, allowed, source), storages: known }
}

const ordered: Callable = {
  named: "collections.OrderedDict",
  call([items = []]) {
    const pairs = Array.isArray(items) ? items : []
    return new Map(
      pairs.filter(Array.isArray).map(([key, value]) => [key as Value, value as Value]),
    )
  },
}

/** A tuple with another name. */
const sizes: Callable = { named: "torch.Size", call: ([list = []]) => list }

type Refuse = (why: string) => RangeError

function storageOf(id: Value, known: Map<string, Storage>, refuse: Refuse): Storage {
  const [kind, type, key, , count, view = null] = Array.isArray(id) ? id : []
  const name = typeof type === "object" && type !== null && "named" in type ? type.named : ""
  const dtype = storages[String(name)]
  if (kind !== "storage" || !dtype || typeof key !== "string" || !isSize(count)) {
    throw refuse("a storage has no type, name or size that is known here")
  }
  if (view !== null) throw refuse(`storage ${show(key)} is a part of another, as no weights are`)
  const other = known.get(key)
  if (other && other.dtype === dtype && other.count === count) return other
  if (other) throw refuse(`storage ${show(key)} is ${other.dtype} and ${dtype}, or of two sizes`)
  const storage = { key, dtype, count }
  known.set(key, storage)
  return storage
}

const isSize = (value: Value | undefined): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0

const isSizes = (value: Value | undefined): value is number[] =>
  Array.isArray(value) && value.length <= 32 && value.every(isSize)

function viewOf(
  storage: Value | undefined,
  offset: Value | undefined,
  shape: Value | undefined,
  strides: Value | undefined,
  refuse: Refuse,
): View {
  const of = storage as Storage
  const isStorage = typeof of === "object" && of !== null && "dtype" in of
  if (!isStorage || !isSize(offset) || !isSizes(shape) || !isSizes(strides)) {
    throw refuse("a tensor has no storage, or no whole numbers as its sizes")
  }
  if (shape.length !== strides.length) {
    throw refuse(`a tensor has the sizes ${show(shape)} and the strides ${show(strides)}`)
  }
  const count = shape.reduce((a, b) => a * b, 1)
  const last = shape.reduce((sum, n, i) => sum + (n - 1) * (strides[i] as number), offset)
  const isInside = count === 0 ? offset <= of.count : last < of.count
  if (!isInside) {
    throw refuse(
      `a tensor of ${show(shape)} reaches to number ${last} of storage ${show(of.key)}, which has ` +
        `${of.count}`,
    )
  }
  if (!(count <= of.count + mostRepeated)) {
    throw refuse(`a tensor of ${show(shape)} repeats a storage of ${of.count} numbers`)
  }
  return new View(of, offset, shape, strides)
}

/** Bytes of a storage. */
export const bytesOfStorage = ({ dtype, count }: Storage): number => itemBytes[dtype] * count

// ---- Names ----------------------------------------------------------------------------------------

/** Values in all that a file holds: far more than a training state has. */
const mostValues = 1_000_000
const mostDepth = 16

/** The tensors of a value, by the keys that lead to them with dots between. Throws RangeError for names
 *  that are there twice, and for what holds itself. */
export function named(value: Value, source: string): Map<string, View> {
  const found = new Map<string, View>()
  let seen = 0
  const visit = (value: Value, path: string, depth: number): void => {
    if (++seen > mostValues || depth > mostDepth) {
      throw new RangeError(`${source} holds more values, or deeper ones, than weights have`)
    }
    if (value instanceof View) {
      if (found.has(path)) throw new RangeError(`${source} has ${show(path)} twice`)
      found.set(path, value)
      return
    }
    const entries = value instanceof Map || Array.isArray(value) ? value.entries() : []
    for (const [key, each] of entries) {
      visit(each, path === "" ? String(key) : `${path}.${String(key)}`, depth + 1)
    }
  }
  visit(value, "", 0)
  return found
}
