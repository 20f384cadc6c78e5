// `elm bench start`: how long a program waits before the first token: for the package, for threads, for
// the model of the package. Each in processes of its own, in turns with `node -e 0`, whose time is
// the measure: on a busy machine both grow.
import { execFile } from "node:child_process"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

export interface StartRow {
  readonly what: string
  readonly milliseconds: Spread
  /** Median of the times over that of `node -e 0` in the same turn. */
  readonly ratio: number
}

const started = fileURLToPath(new URL("started.js", import.meta.url))
const run = promisify(execFile)

interface Wait {
  readonly what: string
  measure(): Promise<number>
}

const inProcess = (what: string, ...args: readonly string[]): Wait => ({
  what,
  measure: async () => Number((await run(process.execPath, [started, ...args])).stdout),
})

function waits(): Wait[] {
  const counts = [...new Set([1, 2, availableParallelism()])]
  return [
    {
      what: "node -e 0",
      async measure() {
        const start = performance.now()
        await run(process.execPath, ["-e", "0"])
        return performance.now() - start
      },
    },
    inProcess("import of the package", "import"),
    ...counts.map((n) =>
      inProcess(`pool of ${n} ${n === 1 ? "thread" : "threads"}`, "pool", String(n)),
    ),
    inProcess("import to the first token of the package's model", "token"),
  ]
}

export async function benchStart(repeat: number, report: Report): Promise<StartRow[]> {
  const all = waits().map((wait) => ({ ...wait, times: [] as number[] }))
  // The first processes find no file in memory.
  for (let i = -1; i < repeat; i++) {
    for (const { what, measure, times } of all) {
      report(what, Math.max(0, i) / repeat)
      const time = await measure()
      if (i >= 0) times.push(time)
    }
  }
  const node = all[0]?.times ?? []
  return all.map(({ what, times }) => ({
    what,
    milliseconds: spreadOf(times),
    ratio: spreadOf(times.map((time, i) => time / (node[i] as number))).median,
  }))
}
