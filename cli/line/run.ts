// A run of any kind as a command performs it: Ctrl-C, the log, progress, the plot at its end.
import type { OpenBackend } from "../../backends/index.ts"
import { CeilingMeter } from "../../bench/measure/ceiling.ts"
import { downloading } from "../../bench/measure/report.ts"
import { printable } from "../../model/index.ts"
import type { Communicator } from "../../train/parallel/communicator.ts"
import { checkpointOf } from "../../train/run/checkpoint.ts"
import { openLog } from "../../train/run/log.ts"
import type { RunOptions, RunResult } from "../../train/run/run.ts"
import type { LoopSettings } from "../../train/run/work.ts"
import { whileRunning } from "../terminal/ending.ts"
import { plotText } from "../terminal/plot.ts"
import { reporter } from "../terminal/progress.ts"
import { display, type RunView } from "../terminal/run.ts"

/** What a command says of its run, and what performs it. */
interface Performed<S extends LoopSettings> {
  readonly settings: S
  readonly backend: OpenBackend
  /** Processes that make it together; the first says what is to be said. */
  readonly ranks: Communicator
  /** The folder of a run, or a checkpoint, to go on from. */
  readonly resume: string | undefined
  /** Of the checkpoint that the run goes on from. */
  viewOf(from: string | undefined): RunView
  perform(settings: S, options: RunOptions): Promise<RunResult>
  ending(result: RunResult): readonly string[]
}

/** Performs a run, with what a person wants to know of it on the way and at the end. */
export async function performRun<S extends LoopSettings>(run: Performed<S>): Promise<RunResult> {
  const { settings, backend, resume, ranks } = run
  if (ranks.rank > 0) return performSilently(run, ranks)
  const report = reporter()
  const ceiling = CeilingMeter.ofProducts(backend)
  const interrupt = new AbortController()
  const running = whileRunning((reason) => {
    report.done()
    if (reason === "signal") {
      console.error("Saving after this update; Ctrl-C once more ends at once")
    }
    interrupt.abort()
  })
  const onProblem = (message: string): void => {
    report.done()
    console.error(printable(message))
  }
  const from = resume === undefined ? undefined : await checkpointOf(resume)
  const log = await openLog(settings, from, onProblem)
  try {
    const result = await run.perform(settings, {
      ...{ backend, ranks },
      // What one process can do while others wait for it is not what it can beside them.
      ...(ranks.size === 1 && { measureFlops: () => ceiling.measure() }),
      signal: interrupt.signal,
      ...(resume === undefined ? {} : { resume }),
      ...downloading(report),
      onProgress: report,
      ...display(run.viewOf(from), { report, log, onProblem }),
    })
    report.done()
    if (result.stopped) console.log(`Stopped after update ${result.step}`)
    console.log(printable(await plotText(await log.draw())))
    for (const line of run.ending(result)) console.log(printable(line))
    return result
  } finally {
    report.done()
    ceiling.close()
    running()
  }
}

/** The part of a process that is not the first: it says nothing but what goes wrong. */
async function performSilently<S extends LoopSettings>(
  { settings, backend, resume, perform }: Performed<S>,
  ranks: Communicator,
): Promise<RunResult> {
  const interrupt = new AbortController()
  const running = whileRunning(() => interrupt.abort())
  const onSkip = (message: string): void => {
    console.error(printable(`rank ${ranks.rank} skipped: ${message}`))
  }
  const { signal } = interrupt
  const from = resume === undefined ? {} : { resume }
  return perform(settings, { backend, ranks, signal, onSkip, ...from }).finally(running)
}
