// Memory that groups of tensors have in turns, such as those of one layer after another.
import { bound, bufferOf, type DType, itemBytes, sizeOf, type Tensor } from "../../engine/index.ts"
import type { Holder } from "../../model/index.ts"

interface Layout {
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** Bytes at whose multiples every backend binds memory. */
const alignment = 256

/** A place for each tensor of each group, all groups from the same memory on; it takes what the largest does. */
export function overlay(groups: readonly (readonly Layout[])[], held: Holder): Tensor[][] {
  const most = new Map<DType, number>()
  const places = groups.map((group) => {
    const ends = new Map<DType, number>()
    return group.map(({ shape, dtype }) => {
      const at = ends.get(dtype) ?? 0
      const bytes = sizeOf(shape) * itemBytes(dtype)
      const end = Math.ceil((at + bytes) / alignment) * alignment
      ends.set(dtype, end)
      most.set(dtype, Math.max(end, most.get(dtype) ?? 0))
      return { shape, dtype, at }
    })
  })
  const memory = new Map(
    [...most].map(([dtype, bytes]) => [dtype, held.allocate([bytes / itemBytes(dtype)], dtype)]),
  )
  return places.map((group) =>
    group.map(({ shape, dtype, at }) =>
      bound(bufferOf(memory.get(dtype) as Tensor), shape, dtype, at),
    ),
  )
}
