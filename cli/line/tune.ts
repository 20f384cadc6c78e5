// A command of `elm tune`: an objective's settings as flags and configurations, and its run.
import { dirname } from "node:path"
import { readRunState } from "../../train/run/checkpoint.ts"
import { usualOf } from "../../train/run/field_list.ts"
import { sharedUpdates } from "../../train/run/ranks.ts"
import type { RunOptions, RunResult } from "../../train/run/run.ts"
import { runOf } from "../../train/run/train.ts"
import { inFile } from "../../train/spelling.ts"
import type { TuneSettings } from "../../train/tune/fields.ts"
import { tuneGrid } from "../../train/tune/grid.ts"
import type { TuneObjective } from "../../train/tune/objective.ts"
import { checkTuneSettings } from "../../train/tune/settings.ts"
import { kindOf } from "../../train/tune/tuning.ts"
import { programName } from "../terminal/invocation.ts"
import { tuningView } from "../terminal/tuning.ts"
import { asUsage, path, usageError } from "./arguments.ts"
import { type Command, command } from "./command.ts"
import {
  type Configs,
  checkpointToResume,
  configBesideResume,
  configsIn,
  flagsOf,
  type Given,
  givenOf,
  moved,
  readConfig,
  refuseChanged,
  refuseIdle,
  resumeFlag,
} from "./fields.ts"
import { under, valued } from "./flags.ts"
import { gridFlags, gridOf, gridText } from "./grid.ts"
import { headings, machine } from "./options.ts"
import { overRanks, type RunOfRank } from "./over_ranks.ts"
import { isLaunched, rankFlags } from "./ranks.ts"
import { performRun } from "./run.ts"

export const tuneConfigs: Configs = configsIn("tune")
// A run's threads are a setting of it.
const { threads: _, ...others } = machine
/** Where to run. */
export const where = others

export const configFlag = under(headings.run, {
  config: valued<string>("<name>", `a YAML file, or one of ${tuneConfigs.names.join(", ")}`, path),
})

/** Where settings come from beside flags. */
const sources = { ...configFlag, ...resumeFlag }

/** The command of an objective. */
export function tuneCommand<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  examples: readonly string[],
): Command {
  const { name, description, list } = objective
  const usual = (field: string): unknown => {
    const value = usualOf(list, field)
    return value === "" ? undefined : value
  }
  return command({
    name,
    description,
    flags: { ...sources, ...gridFlags(list, flagsOf(list, usual)), ...where, ...rankFlags },
    after: `Examples:\n${examples.map((each) => `  elm tune ${name} ${each}`).join("\n")}`,
    async run(flags, { given: typed }) {
      const { config, resume } = flags as typeof flags & { config?: string; resume?: string }
      const given = givenOf(list, flags)
      if (resume !== undefined && typed("config") !== "") {
        throw configBesideResume()
      }
      const found = gridOf(given, (field) => usualOf(list, field))
      if (found && resume !== undefined) {
        throw usageError("a grid goes on where its command is given again, without --resume")
      }
      if (found && (flags.processes || isLaunched())) {
        throw usageError("a grid is made by one process. Give one lr and one epochs, or begin one")
      }
      const settings = () =>
        resume === undefined
          ? started(objective, config, found?.first ?? given)
          : resumed(objective, resume, given)
      await overRanks(flags, { settings, sharedOut: sharedUpdates }, async (run) => {
        if (found) await performGrid(objective, run, found.grid)
        else await performTuning(objective, run, flags)
      })
    },
  })
}

async function performGrid<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  run: RunOfRank<S>,
  grid: Parameters<typeof tuneGrid<S>>[1],
): Promise<void> {
  const { out } = run.settings
  const results = await tuneGrid(run.settings, grid, (settings, resume) =>
    performTuning(objective, { ...run, settings, resume }),
  )
  console.log(results ? gridText(results, out) : `The same command goes on with the grid in ${out}`)
}

async function started<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  config: string | undefined,
  given: Given,
): Promise<S> {
  const { list } = objective
  const [from, base] =
    config === undefined ? ["settings", {}] : await readConfig(list, tuneConfigs, config)
  const whole = (): S =>
    refuseIdle(list, checkTuneSettings(objective, { ...base, ...given }, from, inFile), given)
  return asUsage(whole)
}

async function resumed<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  resume: string,
  given: Given,
): Promise<S> {
  const { list } = objective
  const checkpoint = await checkpointToResume(resume)
  const { settings } = await readRunState(checkpoint, kindOf(objective))
  // A run that was moved goes on where it is now.
  const before = moved(settings, dirname(checkpoint))
  refuseChanged(list, before, given, "start a new run")
  const whole = () => checkTuneSettings(objective, { ...before, ...given }, resume, inFile)
  return asUsage(() => refuseIdle(list, whole(), given))
}

/** A run with what a person sees of it. */
export function performTuning<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  run: RunOfRank<S>,
  { compareEvery }: Pick<RunOptions, "compareEvery"> = {},
): Promise<RunResult> {
  const compared = compareEvery === undefined ? {} : { compareEvery }
  return performRun({
    ...run,
    viewOf: () => tuningView(run.settings),
    perform: (settings, options) => runOf(kindOf(objective), settings, { ...options, ...compared }),
    ending: (result) => ending(objective.name, result, run.settings),
  })
}

/** Where the result is, and what to do with it. */
function ending(
  name: string,
  { checkpoint, stopped, step, best, isOver }: RunResult,
  { out, model, adapter }: TuneSettings,
): string[] {
  if (!checkpoint) {
    const goesOn = `The same command goes on with what is in ${out}`
    return [stopped ? goesOn : `There was nothing left to do: the run ended with update ${step}`]
  }
  const chosen = best
    ? `${dirname(checkpoint)}/step-${String(best.step).padStart(8, "0")}`
    : checkpoint
  const use = adapter === "none" ? `--model ${chosen}` : `--model ${model} --adapter ${chosen}`
  return [
    ...(isOver ? [`Ended after update ${step}: validation has not become better`] : []),
    ...(best
      ? [`The best validation, ${best.loss.toFixed(4)}, was that of update ${best.step}`]
      : []),
    `${chosen} holds the ${adapter === "none" ? "model" : "adapter"}: ` +
      `${programName} generate "…" ${use}`,
    ...(stopped ? [`Go on with: ${programName} tune ${name} --resume ${out}`] : []),
  ]
}
