// Worker threads that share one memory and serve plans until the backend closes. They never keep
// the process alive. Where the caller may not wait, in a page, a worker leads in its place.
import { fromNode, isNode } from "../../engine/node.ts"
import { availableThreads } from "./system.ts"

/** What a worker is born with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  /** Thread 0 is the caller, or a worker that leads in its place. */
  readonly thread: number
  readonly threads: number
  readonly scratch: number
}

export interface ThreadPool {
  /** 1 + the number of a thread that no longer exists; 0 where none is missing, or nobody knows.
   *  Unlike events, this can be asked while the caller waits in a plan. */
  missing(): number
  /** Has the leader run steps, and resolves to what `runPlan` returns. */
  lead(steps: number, count: number): Promise<number>
  close(): void
}

/** What a worker says when it is ready to serve. */
export interface WorkerReady {
  /** Where Linux lists the thread for as long as it lives. */
  readonly entry: string | undefined
}

/** Steps for a leader to run: their address and number. */
export type Job = readonly [steps: number, count: number]

/** Exports of the module that every thread's instance offers. */
export interface Exports {
  runPlan(steps: number, count: number, threads: number): number
  serve(thread: number, threads: number, startEpoch: number): void
  stop(): void
  fail(thread: number): void
  setScratch(address: number): void
  useWideTiles(on: number): void
  useRelaxedDot(on: number): void
  useCrowded(on: number): void
  tableIndex(kernel: number): number
}

/** A worker that serves. */
interface Thread {
  readonly entry: string | undefined
  /** Gives a leader its next job. */
  send(job: Job): void
  /** Ends the thread, which is then no failure. */
  end(): void
}

type Fail = (error: Error) => void

/** Starts a thread for each of `starts`, as many at a time as there are cores, and returns when all are
 *  ready to run. A leader's results come in the order of its jobs. */
export async function startPool(starts: readonly WorkerStart[], fail: Fail): Promise<ThreadPool> {
  const jobs: { resolve(failed: number): void; reject: Fail }[] = []
  const failed: Fail = (error) => {
    fail(error)
    for (const { reject } of jobs.splice(0)) reject(error)
  }
  const start = isNode ? startInNode : startInPage
  const done = (result: number): void => jobs.shift()?.resolve(result)
  const workers: Thread[] = []
  const left = starts.entries()
  const startSome = async (): Promise<void> => {
    for (const [i, each] of left) workers[i] = await start(each, failed, done)
  }
  try {
    await Promise.all(Array.from({ length: availableThreads() }, startSome))
  } catch (error) {
    for (const worker of workers) worker?.end()
    throw error
  }
  const entries = new Map(starts.map(({ thread }, i) => [thread, workers[i]?.entry]))
  return {
    missing() {
      const gone = [...entries].find(([, entry]) => entry && !fromNode("node:fs").existsSync(entry))
      return gone ? 1 + gone[0] : 0
    },
    lead: (steps, count) =>
      new Promise((resolve, reject) => {
        jobs.push({ resolve, reject })
        workers[0]?.send([steps, count])
      }),
    close() {
      for (const worker of workers) worker.end()
      const closed = new Error("wasm: the backend was closed while it ran a plan")
      for (const { reject } of jobs.splice(0)) reject(closed)
    },
  }
}

function startInNode(start: WorkerStart, fail: Fail): Promise<Thread> {
  const { Worker } = fromNode("node:worker_threads")
  return new Promise((resolve, reject) => {
    let ending = false
    // Not in one expression, which bundlers take for a worker of a page. Options such as --input-type
    // are for the main script only.
    const here = import.meta.url
    // Nor are its outputs joined to ours, which costs listeners: it writes nothing.
    const options = { workerData: start, execArgv: [], stdout: true, stderr: true }
    const worker = new Worker(new URL("./worker.js", here), options)
    const end = (): void => {
      ending = true
      void worker.terminate()
    }
    worker.once("message", ({ entry }: WorkerReady) => {
      worker.unref()
      resolve({ entry, send: (job) => worker.postMessage(job), end })
    })
    worker.once("error", (error) => {
      reject(error)
      fail(error instanceof Error ? error : new Error(String(error)))
    })
    worker.once("exit", (code) => {
      if (!ending) fail(new Error(`wasm: worker thread ${start.thread} ended with code ${code}`))
    })
  })
}

function startInPage(
  start: WorkerStart,
  fail: Fail,
  done: (result: number) => void,
): Promise<Thread> {
  return new Promise((resolve, reject) => {
    // In one expression, which bundlers know.
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
    worker.onerror = ({ message }) => {
      const reason = message || "its script worker.js did not load: serve it beside the bundle"
      const error = new Error(`wasm: worker thread ${start.thread} failed: ${reason}`)
      reject(error)
      fail(error)
    }
    worker.onmessage = () => {
      worker.onmessage = ({ data }: MessageEvent<number>) => done(data)
      resolve({
        entry: undefined,
        send: (job) => worker.postMessage(job),
        end: () => worker.terminate(),
      })
    }
    worker.postMessage(start)
  })
}
