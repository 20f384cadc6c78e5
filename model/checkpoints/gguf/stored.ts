// Tensors of GGUF files as a checkpoint has them.
import type { OpenFile } from "../../files/tree.ts"
import { show } from "../../json.ts"
import { checkRows, type StoredTensor } from "../checkpoint.ts"
import type { PlainDType } from "../header.ts"
import { f32Rows, fillF32 } from "../numbers.ts"
import type { GgufTensor } from "./header.ts"

export function storedBlocks(file: OpenFile, tensor: GgufTensor, name: string): StoredTensor {
  const { shape, type, offset, bytes } = tensor
  const [rows = 1] = shape
  const rowBytes = rows === 0 ? 0 : bytes / rows
  const at = `${file.name}: ${show(tensor.name)}`
  const read: StoredTensor["read"] = async (start, count, target) => {
    checkRows(at, start, count, rows, target.length, rowBytes)
    await file.readAt(offset + start * rowBytes, target)
  }
  const { expand } = type
  const asF32: StoredTensor["asF32"] =
    expand &&
    (async (start, count, target) => {
      const raw = new Uint8Array(count * rowBytes)
      await read(start, count, raw)
      fillF32(target, (out) => {
        for (let at = 0, to = 0; at < raw.length; at += type.bytes, to += type.values) {
          expand(raw, at, out, to)
        }
      })
    })
  const { form, blocks } = type
  return { name, file: file.name, dtype: type.name, shape, bytes, form, blocks, asF32, read }
}

/** Tensors whose rows follow each other as one. Of two types it is read as f32. */
export function stacked(name: string, parts: readonly [StoredTensor, StoredTensor]): StoredTensor {
  const [first, second] = parts
  const [rows = 0, ...row] = first.shape
  const isSame = first.dtype === second.dtype
  const shape = [rows + (second.shape[0] ?? 0), ...row]
  const numbers = row.reduce((a, b) => a * b, 1)
  const over =
    (
      readOf: (part: StoredTensor) => StoredTensor["read"],
      rowBytes: number,
    ): StoredTensor["read"] =>
    async (start, count, target) => {
      checkRows(
        `${first.file}: ${show(name)}`,
        start,
        count,
        shape[0] as number,
        target.length,
        rowBytes,
      )
      const inFirst = Math.max(0, Math.min(count, rows - start))
      const split = inFirst * rowBytes
      if (inFirst > 0) await readOf(first)(start, inFirst, target.subarray(0, split))
      if (inFirst === count) return
      await readOf(second)(Math.max(0, start - rows), count - inFirst, target.subarray(split))
    }
  const asF32 =
    isSame && !first.asF32
      ? undefined
      : over((part) => f32Rows(part, part.form as PlainDType), 4 * numbers)
  return {
    name,
    file: first.file,
    dtype: isSame ? first.dtype : `${first.dtype} and ${second.dtype}`,
    shape,
    bytes: first.bytes + second.bytes,
    form: isSame ? first.form : undefined,
    blocks: isSame ? first.blocks : undefined,
    asF32,
    read: over((part) => part.read, rows === 0 ? 0 : first.bytes / rows),
  }
}
