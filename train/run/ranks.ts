// What a run does on several processes beside its steps: shares out what it was asked for, ends together,
// compares what the ranks have, and says where to go on from when one of them fails.
import { readBound } from "../../engine/index.ts"
import { alone, type Communicator, gatherNumbers, gatherTexts } from "../parallel/communicator.ts"
import { sharedWeights } from "../parallel/weights.ts"
import type { TrainStep } from "../step/step.ts"
import { checkpointsIn } from "./checkpoint.ts"
import type { Settings } from "./fields.ts"
import { isYaml } from "./parts.ts"
import type { LoopSettings } from "./work.ts"

/** Settings of a run that begins on several ranks, with a micro-batch for each, and of data with sources a shard,
 *  where they say nothing of it. Throws RangeError where they do not share out. */
export function sharedOut(settings: Settings, ranks: Communicator): Settings {
  if (ranks.size === 1) return settings
  const { data } = settings
  // A text by itself may be too short for shards: all read it, and each takes its own samples.
  const isText = typeof data === "string" && !isYaml(data)
  const shards = settings.shards === undefined && !isText ? { shards: ranks.size } : {}
  return { ...sharedUpdates(settings, ranks), ...shards }
}

/** Settings with a micro-batch for each rank, where they say nothing of it. Throws RangeError where they do not
 *  share out. */
export function sharedUpdates<S extends Pick<LoopSettings, "accumulation" | "batchSize">>(
  settings: S,
  { size }: Communicator,
): S {
  if (size === 1) return settings
  const { accumulation: asked, batchSize } = settings
  const accumulation = asked === 1 ? size : asked
  if (batchSize % accumulation !== 0) {
    throw new RangeError(
      `a batch of ${batchSize} does not make ${accumulation} equal micro-batches, one for each of the ` +
        `${size} processes. Give another batch size`,
    )
  }
  return { ...settings, accumulation }
}

/** What is said of processes that make a run together. */
export function aboutRanks(
  { accumulation, batchSize }: Pick<LoopSettings, "accumulation" | "batchSize">,
  { name, size }: Communicator,
): string[] {
  if (size === 1) return []
  const each = `${accumulation / size} × ${batchSize / accumulation} samples of an update each`
  return [`${size} processes, joined by ${name}, with ${each}`]
}

/** Throws RangeError where the micro-batches of an update are not as many for each rank. */
export function checkShares(
  { accumulation }: Pick<LoopSettings, "accumulation">,
  { size }: Communicator,
): void {
  if (accumulation % size === 0) return
  const few = Array.from({ length: accumulation }, (_, i) => i + 1)
  const fit = few.filter((n) => accumulation % n === 0)
  throw new RangeError(
    `an update of this run has ${accumulation} micro-batches, which ${size} processes cannot share. ` +
      `Begin ${fit.join(" or ")}`,
  )
}

/** Whether one of the ranks says so. */
export async function anyOf(ranks: Communicator, own: boolean): Promise<boolean> {
  if (ranks.size === 1) return own
  return (await gatherNumbers(ranks, [Number(own)])).some(([flag]) => flag === 1)
}

/** What ends the ranks together before their first update, where one of them was asked to end. */
export const stopped: unknown = new Error("one of the processes was asked to end")

/** Throws it where one of several ranks was, and of one the signal's reason. */
export async function throwIfStopped(
  ranks: Communicator,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (ranks.size === 1) signal?.throwIfAborted()
  else if (await anyOf(ranks, signal?.aborted ?? false)) throw stopped
}

/** Throws Error naming a rank that has been asked for something else than the first. */
export async function checkSameSettings(ranks: Communicator, settings: object): Promise<void> {
  if (ranks.size === 1) return
  const { threads: _, ...asked } = settings as Settings
  const all = await gatherTexts(ranks, JSON.stringify(asked))
  const other = all.findIndex((text) => text !== all[0])
  if (other < 0) return
  throw new Error(
    `rank ${other} has other settings than rank 0: begin all with the same command and files`,
  )
}

/** Throws Error naming a rank, and a parameter of which it has other numbers than the first: a machine has
 *  computed something else. */
export async function checkSameParameters(ranks: Communicator, step: TrainStep): Promise<void> {
  if (ranks.size === 1) return
  await checkSameNorms(ranks, step)
  const own: string[] = []
  const weights = step.settings.shard === "full" ? sharedWeights(step.model) : undefined
  for (const { name, weight, master, owned } of step.parameters) {
    // Masters that the ranks keep apart are not the same; of weights it is what each gets of the others'.
    const isParted = weights?.unitOf(weight) !== undefined
    const seen = isParted ? await weights.whole(name) : owned ? weight : master
    const numbers = await readBound(seen, step.model.backend)
    const hash = await crypto.subtle.digest("SHA-256", numbers as BufferSource)
    own.push(new Uint32Array(hash, 0, 2).join("-"))
  }
  const all = (await gatherTexts(ranks, own.join(" "))).map((text) => text.split(" "))
  const other = all.findIndex((hashes) => hashes.some((hash, i) => hash !== all[0]?.[i]))
  if (other < 0) return
  const at = all[other]?.findIndex((hash, i) => hash !== all[0]?.[i]) ?? 0
  throw new Error(
    `after update ${step.steps} rank ${other} has another ${step.parameters[at]?.name} than rank 0: ` +
      "one of their machines has computed something else",
  )
}

/** Throws Error naming a rank that has found another norm of the last update's gradients than the first: it has
 *  moved its part by something else. */
async function checkSameNorms(ranks: Communicator, { gradNorm, steps }: TrainStep): Promise<void> {
  const all = (await gatherNumbers(ranks, [gradNorm])).map(([norm]) => norm)
  const other = all.findIndex((norm) => norm !== all[0])
  if (other < 0) return
  throw new Error(
    `after update ${steps} rank ${other} has found a gradient norm of ${all[other]}, and rank 0 of ${all[0]}: ` +
      "one of their machines has computed something else",
  )
}

/** The error of a rank, which says whose it is and, by `standing`, what there is to go on from. */
export async function errorOfRank(
  error: unknown,
  standing: () => Promise<string>,
  { rank, size }: Communicator = alone,
): Promise<unknown> {
  if (size === 1 || !(error instanceof Error)) return error
  const message = `rank ${rank} of ${size}: ${error.message}. ${await standing()}`
  return new Error(message, { cause: error })
}

/** What is said of a run's folder when it has failed. */
export async function lastWhole(out: string): Promise<string> {
  const last = (await checkpointsIn(out)).at(-1)
  return last
    ? `${last} is the last whole checkpoint; go on from it with --resume`
    : "There is no checkpoint to go on from"
}
