// Worker threads that share one memory and serve plans until the backend closes. They never keep
// the process alive.

/** What a worker is born with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly thread: number
  readonly threads: number
  readonly scratch: number
}

export interface Pool {
  /** 1 + the number of a thread that no longer exists; 0 where none is missing, or nobody knows.
   *  Unlike events, this can be asked while the caller waits in a plan. */
  missing(): number
  close(): void
}

/** What a worker says when it is ready to serve. */
export interface WorkerReady {
  /** Where Linux lists the thread for as long as it lives. */
  readonly entry: string | undefined
}

/** Exports of the module that every thread's instance offers. */
export interface Exports {
  runPlan(steps: number, count: number, threads: number): number
  serve(thread: number, threads: number, startEpoch: number): void
  stop(): void
  fail(thread: number): void
  setScratch(address: number): void
  useWideTiles(on: number): void
  useRelaxedDot(on: number): void
  tableIndex(kernel: number): number
}

/** Starts threads 1 … threads − 1 and returns when all are ready to run. */
export async function startPool(
  starts: readonly WorkerStart[],
  fail: (error: Error) => void,
): Promise<Pool> {
  if (starts.length === 0) return { missing: () => 0, close() {} }
  const { Worker } = await import("node:worker_threads")
  const { existsSync } = await import("node:fs")
  const entries: (string | undefined)[] = []
  let closing = false
  const workers = await Promise.all(
    starts.map(
      (start) =>
        new Promise<InstanceType<typeof Worker>>((resolve, reject) => {
          // Options such as --input-type are for the main script only.
          const options = { workerData: start, execArgv: [] }
          const worker = new Worker(new URL("./worker.js", import.meta.url), options)
          worker.once("message", ({ entry }: WorkerReady) => {
            entries[start.thread] = entry
            worker.unref()
            resolve(worker)
          })
          worker.once("error", (error) => {
            reject(error)
            fail(error instanceof Error ? error : new Error(String(error)))
          })
          worker.once("exit", (code) => {
            if (!closing)
              fail(new Error(`wasm: worker thread ${start.thread} ended with code ${code}`))
          })
        }),
    ),
  )
  return {
    missing: () => 1 + entries.findIndex((entry) => entry !== undefined && !existsSync(entry)),
    close() {
      closing = true
      for (const worker of workers) void worker.terminate()
    },
  }
}
