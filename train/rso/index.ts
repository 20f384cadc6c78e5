// Statistical rejection sampling as it is called: four stages, then preference tuning on the pairs that they give.
import { checkBackend, checkObject } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import { checkpointsIn, readRunState } from "../run/checkpoint.ts"
import { RunFolder } from "../run/folder.ts"
import { checkSameSettings, errorOfRank, sharedUpdates } from "../run/ranks.ts"
import type { RunOptions, RunResult } from "../run/run.ts"
import { runOf } from "../run/train.ts"
import { inCode, type Spelling } from "../spelling.ts"
import { claim } from "../tune/claim.ts"
import { type DpoSettings, dpo } from "../tune/dpo.ts"
import { openTuned } from "../tune/open.ts"
import { checkTuneSettings } from "../tune/settings.ts"
import { kindOf } from "../tune/tuning.ts"
import { type RsoSettings, rsoFields } from "./fields.ts"
import { type AnswerScorer, type OpenScore, openCommand, openRanker } from "./score.ts"
import {
  acceptStage,
  openCandidates,
  openRewards,
  promptsIn,
  type StageOptions,
  sampleStage,
  scoreStage,
} from "./stages.ts"

/** How a run of rejection sampling runs, beside what it is asked for. */
export interface RsoOptions extends Omit<RunOptions, "resume"> {
  /** Scores candidates, in place of a ranker or a command. */
  readonly score?: AnswerScorer
  /** Called with what each stage has come to. */
  readonly onStage?: (text: string) => void
  /** Tunes on the pairs; default `tune("dpo", …)`. `resume`: the run's folder, where it was begun before. */
  readonly perform?: (settings: DpoSettings, resume: string | undefined) => Promise<RunResult>
}

/** Settings with defaults. Throws TypeError or RangeError that names `from`, and the field as it is `spelled`
 *  there. */
export function checkRsoSettings(
  json: unknown,
  from: string,
  spelled: Spelling = inCode,
  hasScore = false,
): RsoSettings {
  const settings = checkTuneSettings<RsoSettings>({ list: rsoFields, check }, json, from, spelled)
  const given = [settings.ranker, settings.scorer].filter((each) => each !== undefined)
  if (given.length + Number(hasScore) !== 1) {
    throw new RangeError(`${from}: give ranker, a run of elm tune reward, or scorer, a command`)
  }
  return settings
}

function check(settings: RsoSettings, from: string, spelled: Spelling): void {
  const { accept, candidates, pairs, maxLength, maxPromptLength } = settings
  const isPower = Number.isInteger(Math.log2(accept))
  if (accept % 2 !== 0 || (pairs === "tournament" && !isPower)) {
    const wanted = pairs === "tournament" ? "a power of 2" : "even"
    throw new RangeError(`${from}: accept is ${accept}, for ${pairs} pairs it must be ${wanted}`)
  }
  if (accept > candidates) {
    throw new RangeError(`${from}: accept ${accept} exceeds the candidates ${candidates}`)
  }
  if (maxPromptLength >= maxLength) {
    const names = [spelled("maxPromptLength"), spelled("maxLength")] as const
    throw new RangeError(
      `${from}: ${names[0]} ${maxPromptLength} leaves no room in the ${names[1]} of ${maxLength}`,
    )
  }
}

/**
 * Samples answers of the policy, scores them, accepts some by algorithm 1, pairs these and tunes on the pairs.
 * What is in the folder of a stage already is not done again. undefined where the signal ended it before the
 * tuning. Throws as `tune` does, and for rewards that are none.
 */
export async function rejectionTune(
  given: Partial<RsoSettings>,
  options: RsoOptions,
): Promise<RunResult | undefined> {
  checkObject("rejectionTune: the settings", given)
  checkObject("rejectionTune: options", options)
  checkBackend("rejectionTune: the backend", options.backend)
  const settings = checkRsoSettings(given, "settings", inCode, options.score !== undefined)
  const { ranks = alone } = options
  await checkSameSettings(ranks, settings)
  const folder = ranks.rank === 0 ? await RunFolder.open(settings.out) : undefined
  let pairs: string | undefined
  try {
    if (folder) await claim(settings.out, settings)
    pairs = await pairsOf(settings, { ...options, ranks })
  } catch (error) {
    throw await errorOfRank(error, async () => `What was made is in ${settings.out}`, ranks)
  } finally {
    await folder?.close()
  }
  if (pairs === undefined) return undefined
  const asked = dpoSettings(settings, pairs)
  const last = (await checkpointsIn(asked.out)).at(-1)
  const resume = last === undefined ? undefined : asked.out
  const own =
    last === undefined ? sharedUpdates(asked, ranks) : { ...asked, ...(await updatesOf(last)) }
  if (options.perform) return options.perform(own, resume)
  return runOf(kindOf(dpo), own, { ...options, ...(resume !== undefined && { resume }) })
}

/** The stages up to the file of pairs; undefined where the signal ended them. */
async function pairsOf(
  settings: RsoSettings,
  options: RsoOptions & { readonly ranks: Communicator },
): Promise<string | undefined> {
  const { backend, ranks, signal, onProgress = () => {}, onSkip = () => {}, onStage } = options
  const stage: StageOptions = { settings, ranks, signal, onProgress, onSkip }
  const asking = await promptsIn(stage)
  const candidates = await openCandidates(settings, ranks)
  if (candidates.lines.length < asking.length) {
    const policy = await openTuned(settings, { backend })
    // An adapter that begins with nothing alters no answer.
    if (settings.from === undefined) policy.model.adapter = undefined
    try {
      if (!(await sampleStage(asking, candidates, policy, stage))) return undefined
    } finally {
      await policy.model.close()
    }
  }
  onStage?.(
    `${candidates.path}: ${settings.candidates} answers to each of ${asking.length} prompts`,
  )
  const rewards = await openRewards(settings, ranks)
  if (rewards.lines.length < asking.length) {
    const scorer = await openScore(settings, options)
    try {
      if (!(await scoreStage(candidates.lines, rewards, scorer.score, stage))) return undefined
    } finally {
      await scorer.close()
    }
  }
  onStage?.(`${rewards.path}: their rewards`)
  const { pairs, count } = await acceptStage(candidates.lines, rewards.lines, stage)
  onStage?.(`${pairs}: ${count} pairs of the accepted ones`)
  return pairs
}

async function openScore(
  { ranker, scorer, batchSize }: RsoSettings,
  { score, backend }: RsoOptions,
): Promise<OpenScore> {
  if (score) return { score, close: async () => {} }
  if (scorer !== undefined) return openCommand(scorer)
  return openRanker(ranker as string, backend, batchSize)
}

/** How many micro-batches the updates of a run have, whoever goes on with it. */
async function updatesOf(checkpoint: string): Promise<Pick<DpoSettings, "accumulation">> {
  const { accumulation } = (await readRunState(checkpoint, kindOf(dpo))).settings
  return { accumulation }
}

/** Preference tuning on the pairs, in a folder of its own. */
function dpoSettings(settings: RsoSettings, pairs: string): DpoSettings {
  const out = fromNode("node:path").join(settings.out, "dpo")
  const own = { ...settings, data: pairs, out, beta: settings.gamma, labelSmoothing: 0 }
  const fields = dpo.list.names.map((name) => [name, own[name as keyof typeof own]])
  return checkTuneSettings(dpo, Object.fromEntries(fields.filter(([, x]) => x !== undefined)), out)
}
