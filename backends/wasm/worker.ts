// One worker thread: its own instance of the module over the shared memory, serving plans. The one
// that leads a page's threads gets them as messages; the others wait for them in the module.
// It loads nothing but what it needs: every thread does.
import { fromNode, isNode } from "../../engine/node.ts"
import type { Exports, Job, WorkerReady, WorkerStart } from "./pool.ts"

if (isNode) {
  const { parentPort, workerData } = fromNode("node:worker_threads")
  begin(workerData, (message) => parentPort?.postMessage(message))
} else {
  const begun = ({ data }: MessageEvent<WorkerStart>) =>
    begin(data, (message) => postMessage(message))
  addEventListener("message", begun, { once: true })
}

function begin(start: WorkerStart, say: (message: WorkerReady | number) => void): void {
  const { module, memory, thread, threads, scratch } = start
  const instance = new WebAssembly.Instance(module, { env: { memory, missing: () => 0 } })
  const exports = instance.exports as unknown as Exports
  exports.setScratch(scratch)
  const guarded = <T>(act: () => T): T => {
    try {
      return act()
    } catch (error) {
      exports.fail(thread)
      throw error
    }
  }
  if (thread === 0) {
    addEventListener("message", ({ data: [steps, count] }: MessageEvent<Job>) =>
      say(guarded(() => exports.runPlan(steps, count, threads))),
    )
  }
  say({ entry: entryOfThread() })
  if (thread > 0) guarded(() => exports.serve(thread, threads, 0))
}

/** This thread in Linux's list of the process's threads. */
function entryOfThread(): string | undefined {
  if (!isNode) return undefined
  try {
    return `/proc/${fromNode("node:fs").readlinkSync("/proc/thread-self")}`
  } catch {
    return undefined // Other systems have no such list.
  }
}
