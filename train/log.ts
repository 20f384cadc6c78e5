// The record of a run: metrics.jsonl, a line per entry, and the plot of its losses.
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { appendFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { writeFileWhole } from "../model/index.ts"
import { checkpointsIn } from "./checkpoint.ts"
import type { Metrics } from "./metrics.ts"
import type { Settings } from "./settings.ts"

export interface Log {
  /** Makes the file, once nothing can be wrong with the settings any more: with the lines up to that
   *  step that the run it goes on from has, and when called again those of its own. */
  begin(step: number): Promise<void>
  add(metrics: Metrics): Promise<void>
  /** Writes loss.svg and returns a plot for a terminal. */
  plot(): Promise<string>
}

/** Opens the log of a run; one that goes on from a checkpoint has the lines up to there. Throws
 *  Error for a folder with other or later checkpoints. */
export async function openLog({ out }: Settings, from?: string): Promise<Log> {
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
  return {
    async begin(end) {
      mkdirSync(out, { recursive: true })
      const kept = existsSync(before) ? readMetrics(before).filter(({ step }) => step <= end) : []
      await writeFileWhole(path, new TextEncoder().encode(kept.map(lineOf).join("")))
      before = path
    },
    add: (metrics) =>
      appendFile(path, lineOf(metrics)).catch((error: Error) => {
        throw new Error(`Cannot write ${path}: ${error.message}`, { cause: error })
      }),
    async plot() {
      const { plotSvg, plotText } = await import("./plot.ts")
      const metrics = readMetrics(path)
      const svg = await plotSvg(metrics)
      if (svg) await writeFileWhole(join(out, "loss.svg"), new TextEncoder().encode(svg))
      return plotText(metrics)
    },
  }
}

const lineOf = (metrics: Metrics): string => `${JSON.stringify(metrics)}\n`

/** Whole lines of a file of metrics; one that a crash cut off is left out. */
export function readMetrics(path: string): Metrics[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line): Metrics[] => {
      try {
        return line === "" ? [] : [JSON.parse(line) as Metrics]
      } catch {
        return []
      }
    })
}
