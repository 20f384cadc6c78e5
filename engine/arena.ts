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
    const others = placed
      .filter((o) => o.first <= life.last && life.first <= o.last)
      .sort((a, b) => a.storage.arenaOffset - b.storage.arenaOffset)
    let offset = 0
    for (const { storage } of others) {
      if (storage.arenaOffset >= offset + alignUp(life.storage.bytes, to)) break
      offset = Math.max(offset, storage.arenaOffset + alignUp(storage.bytes, to))
    }
    life.storage.arenaOffset = offset
    placed.push(life)
    total = Math.max(total, offset + alignUp(life.storage.bytes, to))
  }
  return total
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
