// What a person sees of a training run: its sizes, a line for each line of metrics, the time left.
import { machine } from "../../bench/measure/machine.ts"
import { bytesText, printable, threeDigits } from "../../model/index.ts"
import { readRunState } from "../../train/run/checkpoint.ts"
import type { Settings } from "../../train/run/fields.ts"
import type { Log } from "../../train/run/log.ts"
import type { Metrics } from "../../train/run/metrics.ts"
import type { RunInfo, RunMemory } from "../../train/run/run.ts"
import { learningRate, scheduleOf } from "../../train/run/schedule.ts"
import { duration, percent } from "./amounts.ts"
import { bold, dim } from "./colour.ts"
import type { reporter } from "./progress.ts"
import { screenWidth } from "./table.ts"

function headline(info: RunInfo, settings: Settings): string {
  const { config, parameters, step } = info
  const { layers, modelDim, vocabSize, queryHeads, ffnDims } = config
  const sizes =
    `${layers} layers, D ${modelDim}, heads ${queryHeads.join(" ")}, ` +
    `feed-forward ${ffnDims.join(" ")}, V ${vocabSize}`
  const { batchSize: B, sequenceLength: T, steps, dtype } = settings
  const { cpu, runtime } = machine()
  const from = step > 0 ? `from update ${step}, ` : ""
  return (
    `${bold(printable(config.name))}: ${(parameters / 1e6).toFixed(2)} M parameters in ${dtype} (${sizes})\n` +
    `${from}${steps} updates of ${B} × ${T} tokens, into ${printable(settings.out)}; ${cpu}, ${runtime}\n` +
    ignoredLine(info) +
    validationLine(info, settings)
  )
}

/** What validation reads, where a part of the data is held out for it. */
function validationLine({ validation: samples }: RunInfo, settings: Settings): string {
  const { validation, sequenceLength: T } = settings
  if (typeof validation !== "number" || validation === 0) return ""
  const part = `${Number((100 * validation).toPrecision(3))} % of the data`
  if (samples === 0) {
    return dim(
      `\n${part} is less than a batch: no validation. Give --validation FILE, or more data`,
    )
  }
  return dim(`\n${part} is held out; validation on ${samples} × ${T} tokens of it`)
}

/** How a run with another number of updates than it was begun with goes on; "" for others. */
async function scheduleLine(step: number, settings: Settings, from: string | undefined) {
  const before = from === undefined ? settings : (await readRunState(from)).settings
  if (before.steps === settings.steps) return ""
  const [was, is] = [before, settings].map((each) =>
    learningRate(scheduleOf(each), Math.min(step, each.steps - 1)).toExponential(2),
  )
  return dim(
    `the schedule of ${settings.steps} updates instead of ${before.steps}: ` +
      `learning rate ${is} at update ${step}, not ${was}`,
  )
}

/** What carries no loss, and how its row of the embedding learns. */
function ignoredLine({ config, ignoreIndex }: RunInfo): string {
  const { paddingIndex } = config
  const what = `targets of id ${ignoreIndex}, the padding, carry no loss`
  if (paddingIndex === undefined) return dim(`${what}; every row of the embedding learns`)
  return dim(`${what}; row ${paddingIndex} of the embedding learns from the outputs alone`)
}

function memoryLine(memory: RunMemory, { checkpointActivations: on }: Settings): string {
  const { stateBytes, activationBytes, otherActivationBytes } = memory
  return dim(
    `weights, moments and gradients ${bytesText(stateBytes)}, activations ${bytesText(activationBytes)} ` +
      `(${bytesText(otherActivationBytes)} with${on ? "out" : ""} --checkpoint-activations)`,
  )
}

interface RunDisplay {
  readonly report: ReturnType<typeof reporter>
  readonly log: Log
  /** The checkpoint that the run goes on from. */
  readonly from: string | undefined
  onProblem(message: string): void
}

/** Prints what a run reports, a line for each line of metrics; at a terminal the progress stays below. */
export function display(settings: Settings, { report, log, from, onProblem }: RunDisplay) {
  const { steps } = settings
  let begun = { time: performance.now(), step: 0 }
  const left = (step: number): string => {
    const each = (performance.now() - begun.time) / Math.max(1, step - begun.step)
    return `${duration(each * (steps - step))} left`
  }
  return {
    /** When the first update begins. */
    async onStart(info: RunInfo): Promise<void> {
      await log.begin(info.step)
      report.done()
      console.log(headline(info, settings))
      begun = { time: performance.now(), step: info.step }
      const changed = await scheduleLine(info.step, settings, from)
      if (changed) console.log(changed)
    },
    onMemory(memory: RunMemory): void {
      report.done()
      console.log(memoryLine(memory, settings))
    },
    async onMetrics(metrics: Metrics): Promise<void> {
      await log.add(metrics)
      report.done()
      console.log(lineOf(metrics, steps, left))
      report("training", metrics.step / steps)
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
    const { step, validation_loss: loss, validation_perplexity: perplexity } = metrics
    return bold(
      `step ${step}  validation loss ${loss.toFixed(4)}  perplexity ${perplexity.toFixed(2)}`,
    )
  }
  const { step, loss, lr, grad_norm, tokens_per_second: rate, mul_add_fraction } = metrics
  const isWide = screenWidth() >= roomyColumns
  const part = mul_add_fraction && isWide ? ` (${percent(mul_add_fraction)} of mul-add)` : ""
  return (
    `step ${step}/${steps}  loss ${loss.toFixed(4)}  lr ${lr.toExponential(2)}  ` +
    `norm ${grad_norm.toFixed(2)}  ${threeDigits(rate)} tok/s${part}  ${left(step)}`
  )
}
