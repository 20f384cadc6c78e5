// The record of a run: metrics.jsonl, a line per entry, and the plot of its losses.

import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { appendFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { faultText } from "../../model/files/faults.ts"
import { writeFileWhole } from "../../model/index.ts"
import { isObject } from "../../model/json.ts"
import { checkpointsIn, foreignIn } from "./checkpoint.ts"
import type { Metrics } from "./metrics.ts"
import type { LoopSettings } from "./work.ts"

export interface Log {
  /** Takes the lines up to that step of the run that this one goes on from, and when called again its
   *  own. The file is made with the first line that is added. */
  begin(step: number): Promise<void>
  add(metrics: Metrics): Promise<void>
  /** Draws loss.svg. Returns all lines of the record. */
  draw(): Promise<readonly Metrics[]>
}

/** Opens the log of a run, which calls `onProblem` once where it cannot be written; one that goes on from a checkpoint has the lines up to there. Throws
 *  Error for a folder with other or later checkpoints. */
export async function openLog(
  { out }: Pick<LoopSettings, "out">,
  from: string | undefined,
  onProblem: (message: string) => void,
): Promise<Log> {
  const path = join(out, "metrics.jsonl")
  let before = from === undefined ? path : join(dirname(from), "metrics.jsonl")
  const last = (await checkpointsIn(out)).at(-1)
  if (last !== undefined && from === undefined) {
    throw new Error(
      `${out} holds a run already. Resume it with --resume ${out}, or give another --out`,
    )
  }
  if (last !== undefined && resolve(last) !== resolve(from as string)) {
    throw new Error(`${out} holds ${last}, and ${from} is to be resumed. Give another --out`)
  }
  const foreign = await foreignIn(out)
  if (foreign !== undefined) {
    throw new Error(`${foreign} has the name of a checkpoint, and is none. Give another --out`)
  }
  /** Lines that are not in the file yet, and whether it is this run's. */
  let pending = ""
  let isBegun = false
  let isTold = false
  return {
    async begin(end) {
      const kept = existsSync(before) ? readMetrics(before).filter(({ step }) => step <= end) : []
      pending = kept.map(lineOf).join("")
      isBegun = false
      before = path
    },
    async add(metrics) {
      pending += lineOf(metrics)
      const text = pending
      try {
        mkdirSync(out, { recursive: true })
        if (isBegun) await appendFile(path, text)
        else await writeFileWhole(path, new TextEncoder().encode(text))
        isBegun = true
        pending = ""
      } catch (error) {
        // The lines are kept, and written with the next: a full disk ends no training.
        if (!isTold) onProblem(`Cannot write ${path}: ${faultText(error)}`)
        isTold = true
      }
    },
    async draw() {
      if (!existsSync(path)) return []
      const { plotSvg } = await import("./plot.ts")
      const metrics = readMetrics(path)
      const svg = await plotSvg(metrics)
      if (svg) await writeFileWhole(join(out, "loss.svg"), new TextEncoder().encode(svg))
      return metrics
    },
  }
}

const lineOf = (metrics: Metrics): string => `${JSON.stringify(metrics)}\n`

/** The lines of a file of metrics; what is none, as a crash or a full disk leaves it, is left out. */
export function readMetrics(path: string): Metrics[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line): Metrics[] => {
      try {
        const json: unknown = JSON.parse(line)
        return isMetrics(json) ? [json] : []
      } catch {
        return []
      }
    })
}

/** Whether a line has what is read of it again: its step, and the losses that are drawn. */
function isMetrics(json: unknown): json is Metrics {
  if (!isObject(json) || !Number.isSafeInteger(json.step)) return false
  const drawn = "rewards/margins" in json ? ["loss"] : ["ce", "validation_loss"]
  return drawn.every((name) => !(name in json) || Number.isFinite(json[name]))
}
