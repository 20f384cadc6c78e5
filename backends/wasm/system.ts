// What the machine gives this process or this page: cores, memory, and leave to wait for threads.
import { fromNode, isNode } from "../../engine/node.ts"

/** Whether memory can be shared with threads: in a browser, only where a page is isolated. */
export const isolated = isNode || globalThis.crossOriginIsolated === true

/** Cores available to the process; one where threads are out of reach. */
export function availableThreads(): number {
  if (isNode) return fromNode("node:os").availableParallelism()
  return isolated ? navigator.hardwareConcurrency : 1
}

/** Whether this thread may wait for others: a browser forbids it where it draws a page. */
export function mayWait(): boolean {
  if (isNode) return true
  try {
    // Comes back at once, since the word is not 1, unless waiting is forbidden.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0)
    return true
  } catch {
    return false
  }
}

/** Most bytes that the process may come to hold; unknown in a browser. */
export function memoryLimit(): number {
  if (!isNode) return Number.POSITIVE_INFINITY
  const total = fromNode("node:os").totalmem()
  const constrained = process.constrainedMemory?.() ?? 0
  return constrained > 0 ? Math.min(constrained, total) : total
}
