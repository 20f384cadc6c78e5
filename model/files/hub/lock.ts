// Two processes that want one content: the first downloads it, the other waits. A lock is a file that its
// holder touches while it lives; one that nobody has touched for long is taken over.
import { fromNode } from "../../../engine/node.ts"

/** How often a holder touches its lock, and when one counts as left, in milliseconds. */
const touchMs = 2_000
const leftMs = 15_000
const pollMs = 200

/** Runs `work` while holding the lock; waits for it before, as long as `isDone` says that there is still
 *  something to do. Returns whether it ran. Throws the reason of the signal, or what `work` throws. */
export async function withLock(
  path: string,
  isDone: () => boolean,
  work: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const fs = fromNode("node:fs/promises")
  await fs.mkdir(fromNode("node:path").dirname(path), { recursive: true })
  const mark = `${process.pid} ${Math.random().toString(36).slice(2)}`
  while (!(await taken(path, mark))) {
    signal?.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    if (isDone()) return false
  }
  const touch = setInterval(() => {
    const now = new Date()
    fs.utimes(path, now, now).catch(() => undefined)
  }, touchMs)
  try {
    // Whoever had it before may have finished.
    if (isDone()) return false
    await work()
    return true
  } finally {
    clearInterval(touch)
    if ((await fs.readFile(path, "utf8").catch(() => "")) === mark)
      await fs.rm(path, { force: true })
  }
}

/** Makes the lock, in place of one that was left. */
async function taken(path: string, mark: string): Promise<boolean> {
  const fs = fromNode("node:fs/promises")
  try {
    await fs.writeFile(path, mark, { flag: "wx" })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
  }
  const found = await fs.stat(path).catch(() => undefined)
  if (!found || Date.now() - found.mtimeMs < leftMs) return false
  // Only one of those that see it so moves it aside.
  const aside = `${path}.${Math.random().toString(36).slice(2)}`
  await fs.rename(path, aside).catch(() => undefined)
  await fs.rm(aside, { force: true })
  return false
}
