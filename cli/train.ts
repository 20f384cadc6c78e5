// `elm train`: what a person sees and types of a training run.
import type { Settings } from "../train/run/fields.ts"
import { sharedOut } from "../train/run/ranks.ts"
import type { RunResult } from "../train/run/run.ts"
import { train as trainRun } from "../train/run/train.ts"
import { command } from "./line/command.ts"
import { machine } from "./line/options.ts"
import { overRanks } from "./line/over_ranks.ts"
import { rankFlags } from "./line/ranks.ts"
import { performRun } from "./line/run.ts"
import { settingFlags, settingsOf } from "./line/settings.ts"
import { programName } from "./terminal/invocation.ts"
import { trainingView } from "./terminal/training.ts"

// A run's threads are a setting of it.
const { threads: _, ...where } = machine

export const train = command({
  name: "train",
  description: "train an OpenELM variant; without options, a small one on Jane Austen's novels",
  flags: { ...settingFlags, ...where, ...rankFlags },
  after:
    "Defaults are those of --config austen; another configuration has its own.\n\nExamples:\n" +
    "  elm train --data my-texts --steps 300 --out my-run\n" +
    "  elm train --resume my-run --steps 600\n" +
    "  elm train --processes 4, or mpirun -n 4 elm train",
  async run(flags, { given }) {
    const { compareEvery } = flags
    const settings = () => settingsOf(flags, given("config") !== "")
    await overRanks(flags, { settings, sharedOut }, async (run) => {
      await performRun({
        ...run,
        viewOf: (from) => trainingView(run.settings, from),
        perform: (settings, options) => trainRun(settings, { ...options, compareEvery }),
        ending: (result) => ending(result, run.settings),
      })
    })
  },
})

/** Where the model is, and what to do with it. */
function ending({ checkpoint, stopped, step }: RunResult, { prompt, out }: Settings): string[] {
  if (!checkpoint) {
    return stopped ? [] : [`There was nothing left to do: the run ended with update ${step}`]
  }
  const generate = `${programName} generate "${prompt}" --model ${checkpoint}`
  return [
    `${checkpoint} holds the model: ${generate}`,
    ...(stopped ? [`Go on with: ${programName} train --resume ${out}`] : []),
  ]
}
