// Tensors of PyTorch's files as a checkpoint has them: rows of views, whatever their strides.
import { show } from "../../json.ts"
import { checkRows, type StoredTensor } from "../checkpoint.ts"
import { engineDType, type FileDType, itemBytes } from "../header.ts"
import type { TorchFile } from "./archive.ts"
import type { View } from "./tensors.ts"

/** Bytes of a storage that are held while the numbers of a view are picked out of it. */
const windowBytes = 4 << 20

export function storedView(name: string, file: string, view: View, torch: TorchFile): StoredTensor {
  const { shape, storage } = view
  const { dtype } = storage
  const item = itemBytes[dtype]
  const count = shape.reduce((a, b) => a * b, 1)
  const [rows = 1] = shape
  const rowBytes = rows === 0 ? 0 : (count / rows) * item
  const read: StoredTensor["read"] = async (start, count, target) => {
    checkRows(`${file}: ${show(name)}`, start, count, rows, target.length, rowBytes)
    if (target.length > 0) await readRows(view, torch, start, count, target)
  }
  const form = engineDType(dtype)
  const asF32 = form === undefined ? widened(dtype, rowBytes, read) : undefined
  return { name, file, dtype, shape, bytes: count * item, form, asF32, read }
}

/** Numbers of eight bytes as those of four. */
function widened(
  dtype: FileDType,
  rowBytes: number,
  read: StoredTensor["read"],
): StoredTensor["asF32"] {
  if (dtype !== "F64") return undefined
  return async (start, count, target) => {
    const raw = new Uint8Array(count * rowBytes)
    await read(start, count, raw)
    target.set(new Uint8Array(Float32Array.from(new Float64Array(raw.buffer)).buffer))
  }
}

/** Whether the numbers of a row follow each other, and the rows. */
function isPlain({ shape, strides }: View): boolean {
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false
    step *= shape[i] as number
  }
  return true
}

async function readRows(
  view: View,
  torch: TorchFile,
  start: number,
  count: number,
  target: Uint8Array,
): Promise<void> {
  const { storage, offset, shape, strides } = view
  const item = itemBytes[storage.dtype]
  const first = offset + start * (strides[0] ?? 0)
  if (isPlain(view)) return torch.read(storage, first * item, target)
  await pick(view, torch, first, shape.length === 0 ? [] : [count, ...shape.slice(1)], target)
}

/** Numbers of a view one by one, in the order in which they lie in the storage, so that a window over
 *  this moves forwards. */
async function pick(
  { storage, strides }: View,
  torch: TorchFile,
  first: number,
  shape: readonly number[],
  target: Uint8Array,
): Promise<void> {
  const item = itemBytes[storage.dtype]
  const all = storage.count * item
  const window = new Uint8Array(Math.min(windowBytes, all))
  let from = -1
  const load = async (at: number): Promise<void> => {
    from = Math.min(at, all - window.length)
    await torch.read(storage, from, window)
  }
  const steps = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  const order = shape.map((_, i) => i).sort((a, b) => (strides[b] ?? 0) - (strides[a] ?? 0))
  const visit = async (depth: number, source: number, to: number): Promise<void> => {
    const axis = order[depth]
    if (axis === undefined) {
      const at = source * item
      if (from < 0 || at < from || at + item > from + window.length) await load(at)
      for (let b = 0; b < item; b++) target[to * item + b] = window[at - from + b] as number
      return
    }
    const isLast = depth === order.length - 1
    for (let i = 0; i < (shape[axis] as number); i++) {
      const at = source + i * (strides[axis] as number)
      const put = to + i * (steps[axis] as number)
      const place = at * item
      // Without a promise for each number.
      if (isLast && from >= 0 && place >= from && place + item <= from + window.length) {
        for (let b = 0; b < item; b++) target[put * item + b] = window[place - from + b] as number
      } else await visit(depth + 1, at, put)
    }
  }
  await visit(0, first, 0)
}
