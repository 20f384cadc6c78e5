// The thread that calls MPI for the one that computes, which has no time to ask whether a call has ended; nor do calls
// wait here as MPI's own would, which keep a core busy: this thread looks, and sleeps in between.
import { fromNode } from "../engine/node.ts"
import { loadMpi } from "./library.ts"

/** Bytes of several ranks: how many of each, and where from an address on. */
export interface Places {
  readonly address: bigint
  readonly lengths: Int32Array
  readonly places: Int32Array
}

/** A call of all ranks: what this one gives each, and what it takes from each. */
export interface Asked {
  readonly call: "exchange" | "allGather"
  readonly given: Places
  readonly taken: Places
}

/** The code of MPI with which it has ended. */
export interface Answered {
  readonly code: number
}

const { parentPort } = fromNode("node:worker_threads")
if (!parentPort) throw new Error("this worker is started by joinRanks only")
const port = parentPort

const { func, handle, world, byte } = await loadMpi()
const [ints, memory] = ["int *", "uint8_t *"]
const many = ["void *", ints, ints, handle]
const allToAll = func("MPI_Ialltoallv", [...many, ...many, handle, memory])
const gather = func("MPI_Iallgatherv", ["void *", "int", handle, ...many, handle, memory])
const test = func("MPI_Test", [memory, ints, memory])

/** As large as a pointer, which it is in some libraries. */
const request = new Uint8Array(8)
/** The largest MPI_Status has 32 bytes. */
const status = new Uint8Array(64)
const isDone = new Int32Array(1)

function begin({ call, given, taken }: Asked): number {
  const to = [taken.address, taken.lengths, taken.places, byte, world, request]
  if (call === "allGather") return gather(given.address, given.lengths[0], byte, ...to)
  return allToAll(given.address, given.lengths, given.places, byte, ...to)
}

/** Looks at once for as long as it takes ranks that are there, then less and less often. */
const [eagerLooks, firstSleepMs, lastSleepMs] = [200, 0.02, 0.2]
const asleep = new Int32Array(new SharedArrayBuffer(4))

function finish(): number {
  let sleepMs = firstSleepMs
  for (let looks = 1; ; looks++) {
    const code = test(request, isDone, status)
    if (code !== 0 || isDone[0] !== 0) return code
    if (looks <= eagerLooks) continue
    Atomics.wait(asleep, 0, 0, sleepMs)
    sleepMs = Math.min(2 * sleepMs, lastSleepMs)
  }
}

port.on("message", (asked: Asked) => {
  const code = begin(asked) || finish()
  port.postMessage({ code } satisfies Answered)
})
