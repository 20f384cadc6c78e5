// What the machine gives this process: cores, and memory.

const isNode = typeof process !== "undefined" && process.versions?.node !== undefined

/** Cores available to the process. */
export async function availableThreads(): Promise<number> {
  if (!isNode) return navigator.hardwareConcurrency ?? 1
  const { availableParallelism } = await import("node:os")
  return availableParallelism()
}

/** Most bytes that the process may come to hold; unknown in a browser. */
export async function memoryLimit(): Promise<number> {
  if (!isNode) return Number.POSITIVE_INFINITY
  const { totalmem } = await import("node:os")
  const constrained = process.constrainedMemory?.() ?? 0
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
