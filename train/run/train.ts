// Training as it is called: settings checked, a folder taken, runs one after another where devices are lost.
import { checkBackend, checkObject, DeviceLostError } from "../../engine/index.ts"
import { alone } from "../parallel/communicator.ts"
import { checkpointOf, readRunState } from "./checkpoint.ts"
import type { Settings } from "./fields.ts"
import { RunFolder } from "./folder.ts"
import { pretraining } from "./pretraining.ts"
import { checkSameSettings, checkShares, errorOfRank, lastWhole, stopped } from "./ranks.ts"
import type { RunOptions, RunResult } from "./run.ts"
import { Run } from "./trainer.ts"
import type { LoopSettings, RunKind } from "./work.ts"

/**
 * Trains as the settings say, those left out as the command has them; where a device is lost, on another
 * one from the last checkpoint of this run. Throws Error for files, TypeError and RangeError naming the
 * field for settings that do not fit.
 */
export async function train(given: Partial<Settings>, options: RunOptions): Promise<RunResult> {
  checkObject("train: the settings", given)
  checkObject("train: options", options)
  checkBackend("train: the backend", options.backend)
  const { checkSettings } = await import("./settings.ts")
  const settings = checkSettings(given, "settings")
  return runOf(pretraining, settings, options)
}

/** A run of any kind in a folder of its own. */
export async function runOf<S extends LoopSettings>(
  kind: RunKind<S>,
  asked: S,
  options: RunOptions,
): Promise<RunResult> {
  const { ranks = alone, resume } = options
  const settings = resume === undefined ? kind.sharedOut(asked, ranks) : asked
  checkShares(settings, ranks)
  let folder: RunFolder | undefined
  try {
    if (ranks.rank === 0) folder = await RunFolder.open(settings.out)
    await checkSameSettings(ranks, settings)
    return await runIn(folder, kind, settings, options)
  } catch (error) {
    throw await errorOfRank(error, () => lastWhole(settings.out), ranks)
  } finally {
    await folder?.close()
  }
}

async function runIn<S extends LoopSettings>(
  folder: RunFolder | undefined,
  kind: RunKind<S>,
  settings: S,
  options: RunOptions,
): Promise<RunResult> {
  // Lost while a run is opened counts as before its first update.
  for (let { resume } = options, lostAt = -2; ; ) {
    let run: Run<S> | undefined
    try {
      run = await Run.open(folder, kind, settings, { ...options, ...(resume && { resume }) })
      return await run.train()
    } catch (error) {
      const { signal } = options
      // Other ranks would know of neither.
      const isAlone = (options.ranks ?? alone).size === 1
      if (!run && (error === stopped || (isAlone && signal?.aborted && error === signal.reason))) {
        return notBegun(kind, resume)
      }
      const { step, checkpoint } = run ?? { step: -1 }
      if (!(error instanceof DeviceLostError) || step <= lostAt || !isAlone) throw error
      lostAt = step
      resume = checkpoint ?? resume
      options.onDeviceLost?.(error.message)
    } finally {
      await run?.close()
    }
  }
}

/** What a run that the signal ended before its first update has come to: what it had made before. */
async function notBegun<S extends LoopSettings>(
  kind: RunKind<S>,
  resume: string | undefined,
): Promise<RunResult> {
  const state =
    resume === undefined ? undefined : await readRunState(await checkpointOf(resume), kind)
  const { step = 0, tokens = 0, best } = state ?? {}
  const none = { checkpoint: undefined, lastEvaluation: undefined, isOver: false }
  return { step, tokens, stopped: true, ...none, ...(best && { best }) }
}
