// What the ranks of a step tell each other of their micro-batches: how many targets count, and the losses,
// of which its result is made. Micro-batch number i of an update is round i / size of rank i mod size.
import { type Communicator, gatherNumbers } from "../parallel/communicator.ts"
import type { MicroBatch } from "./batch.ts"
import type { TrainSettings } from "./options.ts"
import { type Parameter, reportHead, termPlace } from "./update.ts"

/** What a step reports, all of it from before the update. */
export interface StepResult {
  /** The sum of its terms: of the whole batch, with `accumulate` "sum" the mean of those of its parts. */
  readonly loss: number
  /** Terms of the loss by the objective's names: for cross-entropy ce and z. */
  readonly terms: Readonly<Record<string, number>>
  /** Cross-entropy and z-loss; of another objective the loss and 0. */
  readonly ce: number
  readonly z: number
  /** Global L2 norm of the gradients before the clip. */
  readonly gradNorm: number
  /** Targets of the batch that are not ignored. */
  readonly counted: number
  /** What the objective reports of each sequence that was given to this rank, if it does. */
  readonly sequences?: readonly Float32Array[]
}

/** How many targets count in each micro-batch of an update, from those of this rank. */
export const countsOfAll = async (
  ranks: Communicator,
  parts: readonly MicroBatch[],
): Promise<readonly number[]> =>
  (
    await ofAllParts(
      ranks,
      parts.map(({ counted }) => [counted]),
    )
  ).flat()

/** A list of numbers for each micro-batch of an update, in order, from those of this rank. */
async function ofAllParts(
  ranks: Communicator,
  own: readonly (readonly number[])[],
): Promise<readonly (readonly number[])[]> {
  const width = own[0]?.length ?? 0
  const found = await gatherNumbers(ranks, own.flat())
  return own.flatMap((_, round) =>
    found.map((numbers) => numbers.slice(round * width, (round + 1) * width)),
  )
}

interface Stepped {
  readonly parameters: readonly Parameter[]
  readonly settings: TrainSettings
  readonly counts: readonly number[]
  /** Rows of a micro-batch. */
  readonly rows: number
}

/** What a step reports, from the reports of this rank's micro-batches, the last of which has the norm. */
export async function resultOf(
  reports: readonly ArrayLike<number>[],
  { parameters, settings, counts, rows }: Stepped,
): Promise<StepResult> {
  const { terms: names, sequences } = settings.objective
  const places = [reportHead.loss, ...names.map((_, i) => termPlace(parameters, i))]
  const own = reports.map((report) => places.map((at) => report[at] as number))
  const [loss = 0, ...rest] = batchLosses(await ofAllParts(settings.ranks, own), settings)
  const terms = Object.fromEntries(names.map((name, i) => [name, rest[i] as number]))
  const { ce = loss, z = 0 } = terms
  const gradNorm = reports.at(-1)?.[reportHead.norm] as number
  const counted = counts.reduce((sum, count) => sum + count, 0)
  const result = { loss, ce, z, terms, gradNorm, counted }
  if (!sequences) return result
  const from = termPlace(parameters, names.length)
  const each = sequences.map((_, i) => {
    const at = from + i * rows
    const parts = reports.flatMap((report) => Array.from(report).slice(at, at + rows))
    return Float32Array.from(parts)
  })
  return { ...result, sequences: each }
}

/** Losses of a whole batch from those of its micro-batches: parts of one mean add up to it; of several
 *  means that are added it is the mean. */
function batchLosses(
  parts: readonly (readonly number[])[],
  { accumulate, meanOver, shards }: TrainSettings,
): readonly number[] {
  const means = accumulate === "mean" ? 1 : parts.length / (meanOver === "shards" ? shards : 1)
  const share = 1 / means
  return (parts[0] ?? []).map(
    (_, n) => parts.reduce((sum, losses) => sum + (losses[n] as number), 0) * share,
  )
}
