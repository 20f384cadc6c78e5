// A command on several processes: joins those that a launcher of MPI began with this one, or begins them
// itself; the first that fails says so for all.
import { setTimeout } from "node:timers/promises"
import { printable } from "../../model/index.ts"
import { joinRanks } from "../../mpi/index.ts"
import { columnsVariable, launch, parentVariable } from "../../mpi/launch.ts"
import { launchedSize, localSize, threadsBeside } from "../../mpi/library.ts"
import { alone, type Communicator, patient } from "../../train/parallel/communicator.ts"
import { checkpointsIn } from "../../train/run/checkpoint.ts"
import { errorOfRank } from "../../train/run/ranks.ts"
import { endAtOnce, interrupt, whileRunning } from "../terminal/ending.ts"
import { debug } from "../terminal/invocation.ts"
import { showProgress } from "../terminal/progress.ts"
import { whole } from "./arguments.ts"
import { under, valued } from "./flags.ts"
import { headings } from "./options.ts"

const rankTimeout = valued(
  "<seconds>",
  "how long a process waits for the others before it takes one to hang",
  whole(1, 2 ** 20),
  1800,
)

/** Flags of a command that several processes can perform: what these do, and from where they go on. */
export const processFlags = (what: string, from: string) =>
  under(headings.machine, {
    processes: valued(
      "<n>",
      `begin so many processes of this machine with mpirun, which ${what}`,
      whole(1, 1024),
    ),
    restarts: valued(
      "<n>",
      `with --processes: begin again so often ${from} where one fails`,
      whole(0, 1000),
      0,
    ),
    rankTimeout,
  })

/** The same of one that trains. */
export const rankFlags = {
  ...processFlags("train together", "from the last checkpoint"),
  ...under(headings.machine, {
    compareEvery: valued(
      "<n>",
      "updates between comparisons of what the processes have; 0 for before checkpoints alone",
      whole(0, 2 ** 31),
      100,
    ),
  }),
}

export interface RankFlags {
  readonly processes?: number | undefined
  readonly restarts: number
  readonly rankTimeout: number
}

/** Whether a launcher of MPI began this process among others, or a command with --processes did. A step of Slurm with
 *  one task, such as an interactive shell, begins processes as any other place does. */
export const isLaunched = (): boolean =>
  process.env[parentVariable] !== undefined || (launchedSize() ?? 1) > 1

/** Set for processes that begin again: they go on where the ones before have left off. */
const restartVariable = "ELM_MPI_RESTART"

/** Whether this process was begun again. */
export const isRestart = (): boolean => process.env[restartVariable] !== undefined

/** What a process that begins again goes on from: its run's folder, once there is a checkpoint. */
export async function restartOf(out: string): Promise<string | undefined> {
  if (!isRestart()) return undefined
  return (await checkpointsIn(out)).length > 0 ? out : undefined
}

/** The code with which ranks end that have said why. */
const toldCode = 3
/** And that of ranks which have waited in vain for all to begin: SIGALRM's, as launchers tell of it. */
const lateCodes = [14, 128 + 14]

/** Says what there is to go on from. */
type Standing = () => Promise<string>

/** Begins the processes, again where they fail; returns when they have done their work, or were interrupted. Where
 *  they have failed, says so with what there is to go on from. */
export async function beginRanks(
  processes: number,
  { restarts, rankTimeout }: RankFlags,
  standing: Standing,
): Promise<void> {
  let isInterrupted = false
  for (let again = 0; ; again++) {
    const begun = await launch(processes, again > 0 ? { [restartVariable]: "1" } : {})
    const done = whileRunning(() => {
      isInterrupted = true
      begun.interrupt()
    })
    const code = await begun.ended.finally(done)
    if (code === 0) return
    const why = lateCodes.includes(code)
      ? `${processes} processes had not met after ${rankTimeout} s: one of them hangs`
      : `${processes} processes ended with code ${code}`
    const where = await standing()
    if (!isInterrupted && again < restarts) {
      console.error(printable(`${why}. Beginning again (${again + 1} of ${restarts}). ${where}`))
      await setTimeout(untilGoneMs)
      continue
    }
    process.exitCode = 1
    // One of them has said what happened.
    if (code !== toldCode) console.error(printable(`${why}. ${where}`))
    return
  }
}

/** Performs `work` as one of the processes that were begun together, or alone. Where they do not end together, says so
 *  with what there is to go on from. */
export async function asRank(
  { rankTimeout }: RankFlags,
  work: (ranks: Communicator) => Promise<void>,
  standing: Standing,
): Promise<void> {
  const isBegun = process.env[parentVariable] !== undefined
  const isAlone = (launchedSize() ?? 1) === 1
  if (isAlone && !isBegun) return work(alone)
  const joined = isAlone ? alone : await joinRanks({ timeoutSeconds: rankTimeout })
  const ranks = patient(joined, 1000 * rankTimeout)
  // Launchers hand this signal on to all, where Ctrl-C would have them end at once; so does Slurm.
  process.on("SIGUSR2", interrupt)
  if (ranks.rank === 0) showProgress(Number(process.env[columnsVariable] ?? 0))
  try {
    await work(ranks)
    await ranks.close().catch(async (error: unknown) => {
      throw await errorOfRank(error, standing, ranks)
    })
    if (isBegun) process.exitCode = 0
  } catch (error) {
    // What all fail in, the first says; what one alone fails in, it says itself.
    await setTimeout(ranks.rank === 0 ? 0 : othersWaitMs + ranks.rank * betweenRanksMs)
    const { message, stack } = error as Error
    console.error(printable(debug && stack ? stack : message))
    // MPICH's launcher throws away what it has not read when a rank ends all.
    await setTimeout(untilReadMs)
    process.exitCode = toldCode
    ranks.abort(toldCode)
  }
}

/** mpirun may end before all that it has begun. */
const untilGoneMs = 2000
const untilReadMs = 200
const othersWaitMs = 3000
const betweenRanksMs = 100

/** Has the first rank say, where launchers end all since one of them is gone, what to go on from. */
export function sayAtEnd({ rank, size }: Communicator, standing: Standing): void {
  if (size === 1) return
  // The process that began these says it otherwise.
  const isSaid = rank > 0 || process.env[parentVariable] !== undefined
  endAtOnce(async () => (isSaid ? undefined : printable(`Ended from outside. ${await standing()}`)))
}

/** Throws Error where a launcher began several processes of a command that knows nothing of the others. */
export function checkAlone(): void {
  const launched = launchedSize() ?? 1
  if (launched === 1) return
  throw new Error(
    `this command is for one process, and MPI began ${launched}. Begin it without mpirun`,
  )
}

/** Threads of a process that has others of its run beside it, where none were asked for. */
export const threadsOfRank = ({ size }: Communicator): { readonly threads?: number } =>
  size === 1 ? {} : { threads: threadsBeside(localSize()) }
