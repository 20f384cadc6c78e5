// An evaluation that several processes share: each asks about every n-th document and has a log of its own; the
// first puts together what all know, and their logs, as if it had been alone.
import { join } from "node:path"
import type { Report } from "../../bench/measure/report.ts"
import type { Evaluation } from "../../eval/evaluate.ts"
import type { Results } from "../../eval/index.ts"
import { type EvaluationLog, joinLogs, openLog, type Shard } from "../../eval/log.ts"
import {
  type Communicator,
  gatherNumbers,
  gatherTexts,
  meet,
} from "../../train/parallel/communicator.ts"
import type { Part } from "./evaluation.ts"

/** A part with what is known of it. */
export interface Open {
  readonly part: Part
  readonly evaluation: Evaluation
  readonly log: EvaluationLog | undefined
}

/** The first does `work` before the others do. */
async function firstBefore(ranks: Communicator, work: () => Promise<void>): Promise<void> {
  if (ranks.rank > 0) await meet(ranks)
  await work()
  if (ranks.rank === 0) await meet(ranks)
}

/** Every how many-th document is a process's own. */
export const shareOf = ({ rank, size }: Communicator): Shard | undefined =>
  size === 1 ? undefined : { index: rank, of: size }

/** The log of each part in a folder. Throws RangeError where it has one, unless that is to be gone on with. */
export async function openLogs(
  ranks: Communicator,
  parts: readonly Part[],
  out: string,
  { shard, resume }: { readonly shard: Shard | undefined; readonly resume: boolean },
): Promise<readonly EvaluationLog[]> {
  const logs: EvaluationLog[] = []
  await firstBefore(ranks, async () => {
    // The first one's are there already.
    const all = resume || ranks.rank > 0
    for (const { name } of parts) logs.push(await openLog(join(out, name), { shard, resume: all }))
  })
  return logs
}

/** Notes in the logs what model is going to answer, once all ranks have read what was there. */
export async function beginLogs(
  ranks: Communicator,
  all: readonly Open[],
  model: Readonly<Record<string, unknown>>,
): Promise<void> {
  const left = await gatherNumbers(
    ranks,
    all.map(({ evaluation }) => evaluation.left),
  )
  await firstBefore(ranks, async () => {
    for (const [i, { log }] of all.entries()) {
      if (left.some((own) => (own[i] as number) > 0)) await log?.begin(model)
    }
  })
}

/** Says how far all ranks are, by the documents that are left to each. */
export function progressOfRanks(report: Report): (left: readonly number[]) => void {
  let of: number | undefined
  return (each) => {
    const left = each.reduce((a, b) => a + b, 0)
    of ??= left
    report(`${of - left} of ${of} documents, by ${each.length} processes`, of && 1 - left / of)
  }
}

/** Every rank comes to know what all have found. */
export async function takeAll(ranks: Communicator, all: readonly Open[]): Promise<void> {
  if (ranks.size === 1) return
  for (const { evaluation } of all) {
    const known = await gatherTexts(ranks, evaluation.known())
    for (const [rank, text] of known.entries()) if (rank !== ranks.rank) evaluation.take(text)
  }
}

/** The logs of tasks that are whole become what one process would have written. */
export async function joinAll(out: string, { name }: Part, found: Results): Promise<void> {
  for (const task of Object.keys(found.configs)) {
    if (found.partial?.[task] === undefined) await joinLogs(join(out, name), task)
  }
}
