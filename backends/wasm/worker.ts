// One worker thread: its own instance of the module over the shared memory, serving plans.
import { parentPort, workerData } from "node:worker_threads"
import type { Exports, WorkerStart } from "./pool.ts"

const { module, memory, thread, threads, scratch } = workerData as WorkerStart
const instance = new WebAssembly.Instance(module, { env: { memory } })
const exports = instance.exports as unknown as Exports
exports.setScratch(scratch)
parentPort?.postMessage("ready")
try {
  exports.serve(thread, threads, 0)
} catch (error) {
  exports.fail(thread)
  throw error
}
