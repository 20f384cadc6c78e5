// Ranks joined by MPI: collectives on bytes, each made by a thread beside Node's own, which stays awake for signals
// and for clocks.
import type { Worker } from "node:worker_threads"
import { fromNode } from "../engine/node.ts"
import { alone, type ByteRange, type Communicator, cut } from "../train/parallel/communicator.ts"
import { Staging } from "../train/parallel/staging.ts"
import { parentVariable } from "./launch.ts"
import { type CFunction, launchedSize, loadMpi, type MpiLibrary } from "./library.ts"
import type { Answered, Asked, Places } from "./worker.ts"

/** Most bytes of a call: counts and places are ints of C. */
const mostBytes = 2 ** 31 - 1

/** Joins the processes that a launcher of MPI began with this one, such as mpirun or srun; where none did, it is one
 *  process by itself. All close it in the end. Where one of them has not come after `timeoutSeconds`, default never,
 *  SIGALRM ends this one. Throws Error where MPI cannot be loaded, or is not that of the launcher. */
export async function joinRanks({ timeoutSeconds = 0 } = {}): Promise<Communicator> {
  if (launchedSize() === undefined) return alone
  const mpi = await loadMpi()
  const { func, koffi, world, handle, serialized } = mpi
  const call = (function_: CFunction, ...given: readonly unknown[]): void =>
    check(mpi, function_(...given))
  const provided = [0]
  const init = func("MPI_Init_thread", ["void *", "void *", "int", koffi.out("int *")])
  // It waits for the others in this thread, which has no timers meanwhile; MPI_Finalize wants the same one.
  const alarm = func("alarm", ["unsigned int"])
  alarm(timeoutSeconds)
  call(init, null, null, serialized, provided)
  alarm(0)
  const number = (name: string): number => {
    const found = [0]
    call(func(name, [handle, koffi.out("int *")]), world, found)
    return found[0] as number
  }
  const [rank, size] = [number("MPI_Comm_rank"), number("MPI_Comm_size")]
  const finalize = func("MPI_Finalize", [])
  const launched = launchedSize()
  if (launched !== undefined && launched !== size) {
    call(finalize)
    throw new Error(
      `${mpi.file} (${mpi.name}) knows of ${size} process, and the launcher began ${launched}: they are of ` +
        "different MPIs. Name the launcher's library with ELM_MPI_LIB",
    )
  }
  if ((provided[0] ?? 0) < serialized) {
    call(finalize)
    throw new Error(`${mpi.name} takes no calls from threads. Take one built with them`)
  }
  return communicatorOf(mpi, rank, size, () => call(finalize))
}

function communicatorOf(
  mpi: MpiLibrary,
  rank: number,
  size: number,
  finalize: () => void,
): Communicator {
  const { func, handle, world } = mpi
  const end = func("MPI_Abort", [handle, "int"])
  // Node's own waits for its threads, and one of them may wait for another rank.
  const exit = func("_exit", ["int"])
  const caller = new Caller(mpi)
  const staging = new Staging()
  return {
    rank,
    size,
    name: mpi.name,
    async exchange(buffer, parts, received) {
      const own = (parts[rank] as ByteRange).bytes
      const from = parts.map((_, r) => ({ at: r * own, bytes: own }))
      await caller.call("exchange", [buffer, parts], [received, from])
    },
    async allGather(buffer, parts) {
      // A copy: what is sent may not lie where others' parts are received.
      const part = parts[rank] as ByteRange
      const own = staging.take(part.bytes)
      own.set(cut(buffer, part))
      await caller.call("allGather", [own, [{ at: 0, bytes: part.bytes }]], [buffer, parts])
    },
    // mpirun ends all where one ends before MPI_Finalize, with no more said; MPI_Abort says a paragraph, but
    // is what every launcher knows.
    abort: (code) => void (process.env[parentVariable] ? exit(code) : end(world, code)),
    async close() {
      await caller.close()
      finalize()
    },
  }
}

/** The thread that makes the calls, one at a time. */
class Caller {
  readonly #mpi: MpiLibrary
  readonly #worker: Worker
  #ended: Error | undefined
  #settle: (answer: Answered | Error) => void = () => {}

  constructor(mpi: MpiLibrary) {
    const { Worker } = fromNode("node:worker_threads")
    // Not in one expression, which bundlers take for a file of a page. Options such as --input-type are for the main
    // script only.
    const here = import.meta.url
    this.#mpi = mpi
    this.#worker = new Worker(new URL("./worker.js", here), { execArgv: [] })
    this.#worker.unref()
    const end = (why: Error): void => {
      this.#ended ??= why
      this.#settle(why)
    }
    this.#worker.on("error", (error) => end(error as Error))
    this.#worker.on("exit", () => end(new Error("the thread that calls MPI is no more")))
    this.#worker.on("message", (answer: Answered) => this.#settle(answer))
  }

  /** Returns when it has ended, with bytes that are given and places of those that are taken; both stay where they
   *  are until then. Throws Error with what MPI says. */
  async call(
    call: Asked["call"],
    given: readonly [Uint8Array, readonly ByteRange[]],
    taken: readonly [Uint8Array, readonly ByteRange[]],
  ): Promise<void> {
    const asked: Asked = { call, given: this.#placesOf(given), taken: this.#placesOf(taken) }
    if (this.#ended) throw this.#ended
    const worker = this.#worker
    worker.ref()
    const [answer] = await new Promise<[Answered | Error, ...unknown[]]>((settle) => {
      // MPI has addresses of memory that nobody else may need any more: it is kept until then.
      this.#settle = (answer) => settle([answer, given, taken])
      worker.postMessage(asked)
    })
    worker.unref()
    if (answer instanceof Error) throw answer
    check(this.#mpi, answer.code)
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #placesOf([memory, parts]: readonly [Uint8Array, readonly ByteRange[]]): Places {
    const last = Math.max(...parts.map(({ at, bytes }) => at + bytes))
    if (last > mostBytes) {
      throw new RangeError(`MPI takes ${mostBytes} bytes at a time, and these are ${last}`)
    }
    return {
      address: this.#mpi.koffi.address(memory),
      lengths: Int32Array.from(parts, (p) => p.bytes),
      places: Int32Array.from(parts, (p) => p.at),
    }
  }
}

function check({ name, func, koffi }: MpiLibrary, code: number): void {
  if (code === 0) return
  const [text, length] = [new Uint8Array(1024), [0]]
  func("MPI_Error_string", ["int", "uint8_t *", koffi.out("int *")])(code, text, length)
  throw new Error(`${name}: ${new TextDecoder().decode(text.subarray(0, length[0]))}`)
}
