// The system's MPI library, whichever it is: found, loaded, and told apart by what it exports. The same
// functions take other handles in each: in Open MPI pointers to symbols of its own, in MPICH numbers, and
// other numbers in the ABI that MPI 5 gives all of them.
import { fromNode } from "../engine/node.ts"

/** What is needed of koffi, which calls functions of C. */
interface Koffi {
  load(file: string, options: { readonly global: boolean }): Loaded
  /** The type of an argument that a function writes, as an array of one. */
  out(type: string): unknown
  /** Where bytes are, which stay there for as long as somebody has them. */
  address(bytes: Uint8Array): bigint
}

interface Loaded {
  func(name: string, result: string, parameters: readonly unknown[]): CFunction
  /** Its address. Throws where there is none of that name. */
  symbol(name: string): unknown
}

/** A loaded library, and how it is called. */
export interface MpiLibrary {
  /** Such as "Open MPI v4.1.4". */
  readonly name: string
  readonly file: string
  /** The C type of its handles, and those of all ranks and of bytes. */
  readonly handle: "int" | "void *"
  readonly world: unknown
  readonly byte: unknown
  /** MPI_THREAD_SERIALIZED: calls come from several threads, one at a time. */
  readonly serialized: number
  /** A function of it that returns an int. */
  func(name: string, parameters: readonly unknown[]): CFunction
  readonly koffi: Koffi
}

/** A function of C. */
export type CFunction = (...given: readonly unknown[]) => number

type Handles = Pick<MpiLibrary, "handle" | "world" | "byte" | "serialized">

/** Of MPICH and all that share its binary interface: MVAPICH, Intel MPI, Cray MPICH. */
const mpich: Handles = { handle: "int", world: 0x44000000, byte: 0x4c00010d, serialized: 2 }
/** Of the ABI of MPI 5, chapter 20: small numbers in the place of pointers. */
const standard: Handles = { handle: "void *", world: 0x101n, byte: 0x247n, serialized: 2048 }

const openMpiFiles = ["libmpi.so.40", "libmpi.40.dylib"]
const mpichFiles = ["libmpich.so.12", "libmpi.so.12", "libmpi.12.dylib"]
const otherFiles = ["libmpi_abi.so.0", "libmpi_abi.0.dylib", "libmpi.so", "libmpi.dylib"]

/** Names of libraries, those of the launcher that began this process first. */
const filesFor = (environment: NodeJS.ProcessEnv): readonly string[] => {
  const own = environment.OMPI_COMM_WORLD_SIZE === undefined
  const known = own ? [...mpichFiles, ...openMpiFiles] : [...openMpiFiles, ...mpichFiles]
  return [...known, ...otherFiles]
}

/** Loads the library that ELM_MPI_LIB names, or one of the usual names. Throws Error that says what to
 *  install. */
export async function loadMpi(environment: NodeJS.ProcessEnv = process.env): Promise<MpiLibrary> {
  const koffi = await loadKoffi()
  // UCX, below Open MPI, would take signals by which Node and V8 work.
  environment.UCX_ERROR_SIGNALS ??= ""
  const named = environment.ELM_MPI_LIB
  const files = named ? [named] : filesFor(environment)
  const problems: string[] = []
  for (const file of files) {
    try {
      // Open MPI loads parts of itself, which look for its symbols among those of the process.
      return described(koffi, file, koffi.load(file, { global: true }))
    } catch (error) {
      problems.push((error as Error).message)
    }
  }
  // One that is there and cannot be taken says more than those that are not.
  const other = problems.find((problem) => !/no such file/i.test(problem))
  const why = other ?? (named ? problems[0] : `there is no ${files.join(", ")}`)
  const tried = named ? `ELM_MPI_LIB is ${named}: ${why}` : why
  throw new Error(
    `Cannot load MPI: ${tried}. Install it (Debian: openmpi-bin, or mpich), ` +
      "or name its library with ELM_MPI_LIB",
  )
}

/** koffi, an optional peer dependency. Throws Error that says how to add it. */
export async function loadKoffi(): Promise<Koffi> {
  // A name that no bundler follows.
  const name: string = "koffi"
  try {
    return ((await import(name)) as { readonly default: Koffi }).default
  } catch (error) {
    throw new Error(
      "Several processes need the package koffi, which calls the system's MPI. " +
        "Add it by: npm install koffi",
      { cause: error },
    )
  }
}

function described(koffi: Koffi, file: string, library: Loaded): MpiLibrary {
  const func = (name: string, parameters: readonly unknown[]): CFunction =>
    library.func(name, "int", parameters)
  const text = new Uint8Array(longestVersion)
  const length = [0]
  func("MPI_Get_library_version", ["uint8_t *", koffi.out("int *")])(text, length)
  const version = new TextDecoder().decode(text.subarray(0, length[0])).replaceAll("\0", "")
  const name = nameOf(version)
  return { name, file, koffi, func, ...handlesOf(koffi, library, func, version) }
}

/** MPI_MAX_LIBRARY_VERSION_STRING is 256 in Open MPI and 8192 in MPICH and in the ABI. */
const longestVersion = 8192

/** The first line of what the library says of itself: up to its first comma, and without words. */
const nameOf = (version: string): string =>
  (version.split(/[,\n]/)[0] ?? "").replace(/\s*Version:\s*/, " ").trim() || "MPI"

function handlesOf(
  koffi: Koffi,
  library: Loaded,
  func: MpiLibrary["func"],
  version: string,
): Handles {
  const symbol = (name: string): unknown => {
    try {
      return library.symbol(name)
    } catch {
      return undefined
    }
  }
  // Libraries of MPI 5 that keep handles of their own answer -1.
  if (symbol("MPI_Abi_get_version") !== undefined) {
    const major = [-1]
    func("MPI_Abi_get_version", [koffi.out("int *"), koffi.out("int *")])(major, [-1])
    if ((major[0] ?? -1) >= 0) return standard
  }
  const [world, byte] = ["ompi_mpi_comm_world", "ompi_mpi_byte"].map(symbol)
  if (world !== undefined && byte !== undefined) {
    return { handle: "void *", world, byte, serialized: 2 }
  }
  if (/MPICH|MVAPICH|Intel\(R\) MPI/.test(version)) return mpich
  throw new Error(`its handles are unknown: it is ${version.trim()}`)
}

/** Whether a launcher of MPI has begun this process, and among how many. */
export function launchedSize(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS"]
  const found = names.map((name) => environment[name]).find((value) => value !== undefined)
  const { SLURM_STEP_NUM_TASKS: tasks, SLURM_PROCID: task } = environment
  // Every process of a job's batch script has SLURM_NTASKS; steps that srun begins have these two.
  const size = Number(found ?? (task === undefined ? undefined : tasks))
  return Number.isInteger(size) && size > 0 ? size : undefined
}

/** Processes of this run on this machine, where the launcher says it. */
export function localSize(environment: NodeJS.ProcessEnv = process.env): number {
  const names = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_TASKS_PER_NODE"]
  const found = names.map((name) => environment[name]).find((value) => value !== undefined)
  // Slurm writes "4(x2),3": as many on each of two nodes, then on one.
  return Math.max(1, Number.parseInt(found ?? "1", 10) || 1)
}

/** Cores that a process may use, shared with others of its run on this machine. */
export const threadsBeside = (others: number): number =>
  Math.max(1, Math.floor(fromNode("node:os").availableParallelism() / others))
