// Lays the intermediate values of a plan into one arena: values that are alive at the same time
// never overlap. Largest first, each at the lowest offset that is free during its life.
import type { Storage } from "./place.ts"
import type { Step } from "./plan.ts"

/** Vector loads of every backend stay inside aligned storage. */
const alignment = 64

export const alignUp = (bytes: number, to: number = alignment): number => Math.ceil(bytes / to) * to

interface Life {
  readonly storage: Storage
  readonly first: number
  last: number
}

/** Sets every arena offset, a multiple of `to`, and returns the bytes of the arena. */
export function layOut(steps: readonly Step[], to: number = alignment): number {
  const placed: Life[] = []
  let total = 0
  for (const life of livesOf(steps).sort((a, b) => b.storage.bytes - a.storage.bytes)) {
    const bytes = alignUp(life.storage.bytes, to)
    life.storage.arenaOffset = lowestFree(placed, life, bytes, to)
    total = Math.max(total, life.storage.arenaOffset + bytes)
    placed.splice(placeOf(placed, life.storage.arenaOffset), 0, life)
  }
  return total
}

/** Where so many bytes are free as long as a value lives.  placed: by their offsets */
function lowestFree(placed: readonly Life[], life: Life, bytes: number, to: number): number {
  let offset = 0
  for (const { storage, first, last } of placed) {
    if (storage.arenaOffset >= offset + bytes) break
    if (first > life.last || life.first > last) continue
    offset = Math.max(offset, storage.arenaOffset + alignUp(storage.bytes, to))
  }
  return offset
}

/** The first that lies beyond an offset. */
function placeOf(placed: readonly Life[], offset: number): number {
  let [least, most] = [0, placed.length]
  while (least < most) {
    const middle = (least + most) >> 1
    if ((placed[middle] as Life).storage.arenaOffset <= offset) least = middle + 1
    else most = middle
  }
  return least
}

function livesOf(steps: readonly Step[]): Life[] {
  const lives = new Map<Storage, Life>()
  steps.forEach((step, i) => {
    for (const { storage } of [...step.inputs, ...step.outputs]) {
      if (storage.kind !== "arena") continue
      const life = lives.get(storage)
      if (life) life.last = i
      else lives.set(storage, { storage, first: i, last: i })
    }
  })
  return [...lives.values()]
}
