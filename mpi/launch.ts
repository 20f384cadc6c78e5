// Begins the processes of a run on this machine with mpirun, where one is installed.
import { fromNode } from "../engine/node.ts"
import { loadKoffi } from "./library.ts"

/** How a launcher is called. */
interface Launcher {
  readonly program: string
  /** Before the number of processes. */
  readonly options: readonly string[]
}

/** Set for processes that this one begins: their parent says how they ended. */
export const parentVariable = "ELM_MPI_PARENT"
/** And how many columns the terminal has that this one shows theirs in. */
export const columnsVariable = "ELM_MPI_COLUMNS"

/** The mpirun of the system, or the one that ELM_MPIRUN names. Throws Error that says what to install. */
async function findLauncher(): Promise<Launcher> {
  const program = process.env.ELM_MPIRUN || "mpirun"
  const version = await outputOf(program, ["--version"])
  if (version === undefined) {
    throw new Error(
      `--processes needs MPI, and there is no ${program}. Install it (Debian: apt-get install openmpi-bin, ` +
        "or mpich), or name it with ELM_MPIRUN",
    )
  }
  // More processes than cores is what was asked for; threads stay where the system puts them.
  const ofOpenMpi = ["--quiet", "--oversubscribe", "--bind-to", "none"]
  return { program, options: /Open MPI|OpenRTE/.test(version) ? ofOpenMpi : [] }
}

/** What a program prints; undefined where it cannot be run. */
function outputOf(program: string, args: readonly string[]): Promise<string | undefined> {
  const { execFile } = fromNode("node:child_process")
  return new Promise((resolve) => {
    execFile(program, args, (error, stdout) => resolve(error ? undefined : stdout))
  })
}

/** Processes that were begun together. */
interface Launched {
  /** The code that they ended with, 128 and more for a signal. */
  readonly ended: Promise<number>
  /** Has them save, and end. */
  interrupt(): void
}

/** Begins this program again, as so many processes with the same arguments and `environment` added. Throws
 *  Error where there is no mpirun, or no koffi. */
export async function launch(
  processes: number,
  environment: Readonly<Record<string, string>>,
): Promise<Launched> {
  const { program, options } = await findLauncher()
  // What all of them would say, this one says.
  await loadKoffi()
  const { spawn } = fromNode("node:child_process")
  const [node, ...args] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const isRoot = process.getuid?.() === 0
  const child = spawn(program, [...options, "-n", String(processes), node as string, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    // A group of its own: Ctrl-C would have mpirun end the processes before they have saved.
    detached: true,
    env: {
      ...process.env,
      ...(isRoot && { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" }),
      [parentVariable]: "1",
      ...(process.stderr.isTTY && { [columnsVariable]: String(process.stderr.columns || 80) }),
      ...environment,
    },
  })
  const kill = (signal: NodeJS.Signals): void => void child.kill(signal)
  const last = (): void => kill("SIGTERM")
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", reject)
    child.on("exit", (code, signal) => {
      process.off("exit", last)
      resolve(code ?? 128 + fromNode("node:os").constants.signals[signal ?? "SIGKILL"])
    })
  })
  // Whatever ends this process ends those.
  process.once("exit", last)
  // mpirun hands this one on.
  return { ended, interrupt: () => kill("SIGUSR2") }
}
