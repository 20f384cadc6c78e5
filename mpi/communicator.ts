// Ranks joined by MPI: collectives on bytes, each awaited in a thread beside Node's own, which stays awake
// for signals and for clocks.
import { alone, type ByteRange, type Communicator, cut } from "../train/parallel/communicator.ts"
import { Staging } from "../train/parallel/staging.ts"
import { parentVariable } from "./launch.ts"
import { type CFunction, launchedSize, loadMpi, type MpiLibrary } from "./library.ts"

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
  const { func, handle: h, world, byte } = mpi
  const [bytes, ints] = ["uint8_t *", "int *"]
  const allToAll = func("MPI_Alltoallv", [bytes, ints, ints, h, bytes, ints, ints, h, h])
  const gather = func("MPI_Allgatherv", [bytes, "int", h, bytes, ints, ints, h, h])
  const end = func("MPI_Abort", [h, "int"])
  // Node's own waits for its threads, and one of them may wait for another rank.
  const exit = func("_exit", ["int"])
  const wait = (function_: CFunction, ...given: readonly unknown[]): Promise<void> =>
    new Promise((resolve, reject) => {
      function_.async(...given, (error: Error | null, code: number) => {
        if (error) return reject(error)
        try {
          resolve(check(mpi, code))
        } catch (fault) {
          reject(fault)
        }
      })
    })
  const staging = new Staging()
  return {
    rank,
    size,
    name: mpi.name,
    exchange(buffer, parts, received) {
      const own = (parts[rank] as ByteRange).bytes
      const from = parts.map((_, r) => ({ at: r * own, bytes: own }))
      const [sent, got] = [intsOf(parts), intsOf(from)]
      const to = [received, ...got, byte, world]
      return wait(allToAll, buffer, ...sent, byte, ...to)
    },
    allGather(buffer, parts) {
      // A copy: what is sent may not lie where others' parts are received.
      const part = parts[rank] as ByteRange
      const own = staging.take(part.bytes)
      own.set(cut(buffer, part))
      return wait(gather, own, own.length, byte, buffer, ...intsOf(parts), byte, world)
    },
    // mpirun ends all where one ends before MPI_Finalize, with no more said; MPI_Abort says a paragraph, but
    // is what every launcher knows.
    abort: (code) => void (process.env[parentVariable] ? exit(code) : end(world, code)),
    async close() {
      finalize()
    },
  }
}

/** Lengths and places of parts. Throws RangeError for more than a call takes. */
function intsOf(parts: readonly ByteRange[]): [lengths: Int32Array, places: Int32Array] {
  const last = Math.max(...parts.map(({ at, bytes }) => at + bytes))
  if (last > mostBytes) {
    throw new RangeError(`MPI takes ${mostBytes} bytes at a time, and these are ${last}`)
  }
  return [Int32Array.from(parts, (p) => p.bytes), Int32Array.from(parts, (p) => p.at)]
}

function check({ name, func, koffi }: MpiLibrary, code: number): void {
  if (code === 0) return
  const [text, length] = [new Uint8Array(1024), [0]]
  func("MPI_Error_string", ["int", "uint8_t *", koffi.out("int *")])(code, text, length)
  throw new Error(`${name}: ${new TextDecoder().decode(text.subarray(0, length[0]))}`)
}
