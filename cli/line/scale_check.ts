// Runs of several numbers of ranks, in turns, by mpirun: each writes what it did where its parent reads it.
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Report } from "../../bench/measure/report.ts"
import { type Checked, checkRanks } from "../../bench/scaling/check.ts"
import type { Outlined } from "../../bench/scaling/paper.ts"
import { inTemporaryFolder } from "../../model/index.ts"
import { launch } from "../../mpi/launch.ts"
import type { Communicator } from "../../train/parallel/communicator.ts"
import { whileRunning } from "../terminal/ending.ts"
import { writeWhole } from "../terminal/files.ts"
import { type BackendFlags, openFor } from "./open.ts"
import { threadsOfRank } from "./ranks.ts"

/** Set for ranks that are checked: where the first writes what they did. */
const fileVariable = "ELM_SCALE_FILE"

/** Whether this process is one of those that another checks. */
export const isChecked = (): boolean => process.env[fileVariable] !== undefined

interface CheckFlags {
  readonly ranks: readonly number[]
  readonly rounds: number
}

/** What each number of ranks did, so many times in turns. Throws Error where one ends badly. */
export const checkInTurns = (
  { ranks, rounds }: CheckFlags,
  report: Report & { done(): void },
): Promise<Checked[]> =>
  inTemporaryFolder("openelm-scale-", async (folder) => {
    const all: Checked[] = []
    for (const [turn, size] of Array.from({ length: rounds }, () => ranks)
      .flat()
      .entries()) {
      report(`${size} ranks`, turn / rounds / ranks.length)
      const file = join(folder, `${turn}.json`)
      const begun = await launch(size, { [fileVariable]: file })
      const done = whileRunning(begun.interrupt)
      const code = await begun.ended.finally(done)
      if (process.exitCode) throw new Error("Ended before all was measured")
      if (code !== 0) throw new Error(`${size} processes ended with code ${code}`)
      all.push(JSON.parse(await readFile(file, "utf8")) as Checked)
    }
    return all
  })

interface RankFlags extends BackendFlags {
  readonly ranks: readonly number[]
  readonly repeat: number
}

/** The part of one of the ranks. */
export async function checkAsRank(
  task: Outlined,
  flags: RankFlags,
  ranks: Communicator,
  report: Report,
): Promise<void> {
  await using backend = await openFor({ ...flags, ...threadsOfRank(ranks) })
  const { repeat } = flags
  const microBatches = Math.max(...flags.ranks)
  const checked = await checkRanks(task, { ranks, backend, repeat, report, microBatches })
  const file = process.env[fileVariable]
  if (ranks.rank === 0 && file) await writeWhole(file, JSON.stringify(checked))
}
