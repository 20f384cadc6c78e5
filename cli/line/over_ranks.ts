// A run as the processes perform it that a command is asked to begin, or that a launcher began: what each of them
// is to do, where it goes on from, and its backend.
import type { OpenBackend } from "../../backends/index.ts"
import { alone, type Communicator } from "../../train/parallel/communicator.ts"
import { lastWhole } from "../../train/run/ranks.ts"
import { type BackendFlags, openFor } from "./open.ts"
import {
  asRank,
  beginRanks,
  isLaunched,
  type RankFlags,
  restartOf,
  sayAtEnd,
  threadsOfRank,
} from "./ranks.ts"

/** What is asked of a run. */
interface Asked<S> {
  /** Throws for settings that make no sense. */
  settings(): Promise<S>
  /** Those of a run that begins on several ranks. */
  sharedOut(settings: S, ranks: Communicator): S
  /** What there is to go on from, where a process has failed; default the last checkpoint. */
  standing?(settings: S): Promise<string>
}

/** A run, or a process's part of it. */
export interface RunOfRank<S> {
  readonly settings: S
  readonly backend: OpenBackend
  readonly ranks: Communicator
  readonly resume: string | undefined
}

interface RunFlags extends Omit<BackendFlags, "threads">, RankFlags {
  readonly resume?: string | undefined
}

interface RanSettings {
  readonly out: string
  readonly threads?: number | undefined
}

/** Begins the processes that are asked for; does `work` as one of them, or as the only one. */
export async function overRanks<S extends RanSettings>(
  flags: RunFlags,
  { settings, sharedOut, standing = ({ out }) => lastWhole(out) }: Asked<S>,
  work: (run: RunOfRank<S>) => Promise<void>,
): Promise<void> {
  if (flags.processes && !isLaunched()) {
    const asked = await settings()
    // What all of them would say, this one says.
    if (flags.resume === undefined) sharedOut(asked, { ...alone, size: flags.processes })
    return beginRanks(flags.processes, flags, () => standing(asked))
  }
  return asRank(
    flags,
    async (ranks) => {
      const asked = await settings()
      const { resume = await restartOf(asked.out) } = flags
      const own = flags.resume === undefined ? sharedOut(asked, ranks) : asked
      sayAtEnd(ranks, () => standing(own))
      const { threads = threadsOfRank(ranks).threads } = own
      const where = { ...flags, ...(threads === undefined ? {} : { threads }) }
      await using backend = await openFor(where)
      await work({ settings: own, backend, ranks, resume })
    },
    async () => standing(await settings()),
  )
}
