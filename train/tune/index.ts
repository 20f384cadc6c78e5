// Tuning as it is called: the list of objectives, and a run of each.
import { checkBackend, checkObject } from "../../engine/index.ts"
import type { Labelled, PreferencePair } from "../preference/batch.ts"
import type { RunOptions, RunResult } from "../run/run.ts"
import { runOf } from "../run/train.ts"
import { type DpoSettings, dpo } from "./dpo.ts"
import type { TuneSettings } from "./fields.ts"
import type { TuneObjective } from "./objective.ts"
import { type Ranked, type RewardSettings, reward } from "./reward.ts"
import { checkTuneSettings } from "./settings.ts"
import { type SftSettings, sft } from "./sft.ts"
import { kindOf } from "./tuning.ts"

/** Fields of a tuning run, those left out with their defaults. */
export interface TuneFields {
  sft: Partial<SftSettings>
  dpo: Partial<DpoSettings>
  reward: Partial<RewardSettings>
}

/** Objectives by name: a file and a line each. */
export const tuneObjectives: {
  readonly sft: TuneObjective<SftSettings, Labelled>
  readonly dpo: TuneObjective<DpoSettings, PreferencePair>
  readonly reward: TuneObjective<RewardSettings, Ranked>
} = { sft, dpo, reward }

/** What a model is tuned by. */
export type TuneName = keyof typeof tuneObjectives

/**
 * Tunes a model as the settings say, those left out as the command has them; where a device is lost, on another
 * one from the last checkpoint of this run. Throws Error for files, TypeError and RangeError naming the field
 * for settings that do not fit, and the record for data that cannot be used.
 */
export async function tune<N extends TuneName>(
  name: N,
  given: TuneFields[N],
  options: RunOptions,
): Promise<RunResult> {
  if (!Object.hasOwn(tuneObjectives, name)) {
    const names = Object.keys(tuneObjectives).join(", ")
    throw new RangeError(`tune: the objective must be one of ${names}, got ${String(name)}`)
  }
  checkObject("tune: the settings", given)
  checkObject("tune: options", options)
  checkBackend("tune: the backend", options.backend)
  // Which of them it is, is not known here.
  const objective = tuneObjectives[name] as unknown as TuneObjective<TuneSettings, unknown>
  const settings = checkTuneSettings(objective, given, "settings")
  return runOf(kindOf(objective), settings, options)
}
