// What a person sees of a run of `elm train` at its start: sizes, data, schedule and memory.
import { machine } from "../../bench/measure/machine.ts"
import { bytesText, printable } from "../../model/index.ts"
import { readRunState } from "../../train/run/checkpoint.ts"
import type { Settings } from "../../train/run/fields.ts"
import type { RunInfo, RunMemory } from "../../train/run/run.ts"
import { learningRate, scheduleOf } from "../../train/run/schedule.ts"
import { bold, dim } from "./colour.ts"
import type { RunView } from "./run.ts"

/** `from`: the checkpoint that the run goes on from. */
export const trainingView = (settings: Settings, from: string | undefined): RunView => ({
  headline: async (info) => {
    const changed = await scheduleLine(info.step, settings, from)
    return headline(info, settings) + (changed && `\n${changed}`)
  },
  memory: (memory) => memoryLine(memory, settings.checkpointActivations),
})

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
    info.about.map((line) => dim(`${printable(line)}\n`)).join("") +
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

/** What a run takes. */
export function memoryLine(memory: RunMemory, on: boolean): string {
  const { stateBytes, activationBytes, otherActivationBytes, parts } = memory
  return dim(
    `weights, moments and gradients ${bytesText(stateBytes)}, activations ${bytesText(activationBytes)} ` +
      `(${bytesText(otherActivationBytes)} with${on ? "out" : ""} --checkpoint-activations)` +
      (parts ? `\n${partsLine(parts)}` : ""),
  )
}

/** What of it a process keeps, where each has a part. */
function partsLine({ inTurns, underWay, ...kept }: NonNullable<RunMemory["parts"]>): string {
  const all = Object.entries(kept).map(([name, bytes]) => `${name} ${bytesText(bytes)}`)
  return `of these a process keeps ${all.join(", ")}, and ${bytesText(inTurns)} that layers have in turns; at most ${bytesText(underWay)} are on their way`
}
