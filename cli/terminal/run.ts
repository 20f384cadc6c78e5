// What a person sees of a run as it goes: a line for each line of metrics, the time left.
import { printable, threeDigits } from "../../model/index.ts"
import type { Log } from "../../train/run/log.ts"
import type { Metrics, PairMetrics, Validation } from "../../train/run/metrics.ts"
import type { RunInfo, RunMemory } from "../../train/run/run.ts"
import { duration, percent } from "./amounts.ts"
import { bold, dim } from "./colour.ts"
import type { reporter } from "./progress.ts"
import { screenWidth } from "./table.ts"

/** What is said of a run at its start, and when its memory is known. */
export interface RunView {
  headline(info: RunInfo): string | Promise<string>
  memory(memory: RunMemory): string
}

interface RunDisplay {
  readonly report: ReturnType<typeof reporter>
  readonly log: Log
  onProblem(message: string): void
}

/** Prints what a run reports, a line for each line of metrics; at a terminal the progress stays below. */
export function display(view: RunView, { report, log, onProblem }: RunDisplay) {
  let begun = { time: performance.now(), step: 0, steps: 1 }
  const left = (step: number): string => {
    const each = (performance.now() - begun.time) / Math.max(1, step - begun.step)
    return `${duration(each * (begun.steps - step))} left`
  }
  return {
    /** When the first update begins. */
    async onStart(info: RunInfo): Promise<void> {
      const { step, steps } = info
      await log.begin(step)
      report.done()
      console.log(await view.headline(info))
      begun = { time: performance.now(), step, steps }
    },
    onMemory(memory: RunMemory): void {
      report.done()
      console.log(view.memory(memory))
    },
    async onMetrics(metrics: Metrics): Promise<void> {
      await log.add(metrics)
      report.done()
      console.log(lineOf(metrics, begun.steps, left))
      report("training", metrics.step / begun.steps)
    },
    onDeviceLost(message: string): void {
      onProblem(`${message}. Going on from the last checkpoint with another one`)
    },
    onSkip: (message: string): void => onProblem(`skipped: ${message}`),
  }
}

/** Columns in which a line has room for how much of the machine it uses. */
const roomyColumns = 100

function lineOf(metrics: Metrics, steps: number, left: (step: number) => string): string {
  if ("sample" in metrics) {
    return dim(`  ${printable(metrics.sample).replaceAll("\n", "\n  ")}`)
  }
  if ("validation_loss" in metrics) {
    const { step, validation_loss: loss } = metrics
    return bold(`step ${step}  validation loss ${loss.toFixed(4)}  ${foundText(metrics)}`)
  }
  const { step, loss, lr, grad_norm, tokens_per_second: rate, mul_add_fraction } = metrics
  const isWide = screenWidth() >= roomyColumns
  const part = mul_add_fraction && isWide ? ` (${percent(mul_add_fraction)} of mul-add)` : ""
  const pairs = "rewards/margins" in metrics ? `${pairsText(metrics)}  ` : ""
  return (
    `step ${step}/${steps}  loss ${loss.toFixed(4)}  ${pairs}lr ${lr.toExponential(2)}  ` +
    `norm ${grad_norm.toFixed(2)}  ${threeDigits(rate)} tok/s${part}  ${left(step)}`
  )
}

/** What a validation found beside its loss. */
function foundText(found: Validation): string {
  if ("rewards/margins" in found) return pairsText(found)
  const { validation_perplexity: perplexity, validation_accuracy: accuracy } = found
  if (accuracy !== undefined) return `accuracy ${percent(accuracy)}`
  return `perplexity ${perplexity.toFixed(2)}`
}

const pairsText = (found: PairMetrics): string =>
  `accuracy ${percent(found["rewards/accuracies"])}  margin ${found["rewards/margins"].toFixed(4)}`
