// What a person sees of a run of `elm tune` at its start: what is tuned, on what, and the memory.
import { machine } from "../../bench/measure/machine.ts"
import { printable } from "../../model/index.ts"
import type { TuneSettings } from "../../train/tune/fields.ts"
import { bold, dim } from "./colour.ts"
import type { RunView } from "./run.ts"
import { memoryLine } from "./training.ts"

export const tuningView = (settings: TuneSettings): RunView => ({
  headline({ config, step, about }) {
    const { cpu, runtime } = machine()
    const from = step > 0 ? `from update ${step}, ` : ""
    const [what = "", ...rest] = about
    const where = `${from}into ${printable(settings.out)}; ${cpu}, ${runtime}`
    return [
      `${bold(printable(config.name))}: ${what}`,
      where,
      ...rest.map((line) => dim(printable(line))),
    ].join("\n")
  },
  memory: (memory) => memoryLine(memory, settings.checkpointActivations),
})
