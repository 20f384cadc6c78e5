// One worker thread: its own instance of the module over the shared memory, serving plans.
import { readlinkSync } from "node:fs"
import { parentPort, workerData } from "node:worker_threads"
import type { Exports, WorkerReady, WorkerStart } from "./pool.ts"

const { module, memory, thread, threads, scratch } = workerData as WorkerStart
const instance = new WebAssembly.Instance(module, { env: { memory, missing: () => 0 } })
const exports = instance.exports as unknown as Exports
exports.setScratch(scratch)
const ready: WorkerReady = { entry: entryOfThread() }
parentPort?.postMessage(ready)
try {
  exports.serve(thread, threads, 0)
} catch (error) {
  exports.fail(thread)
  throw error
}

/** This thread in Linux's list of the process's threads. */
function entryOfThread(): string | undefined {
  try {
    return `/proc/${readlinkSync("/proc/thread-self")}`
  } catch {
    return undefined // Other systems have no such list.
  }
}
