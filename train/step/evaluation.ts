// The loss of a batch without an update.
import { type Backend, readBound } from "../../engine/index.ts"
import { nextTurn } from "../../model/index.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import type { MicroBatch } from "./batch.ts"
import { leaveOut } from "./dropout.ts"
import type { TrainSettings } from "./options.ts"
import { evaluationOf, type StepPlans, upload } from "./plans.ts"
import type { Rounds } from "./rounds.ts"
import { type Parameter, termPlace } from "./update.ts"

/** Mean loss in nats, and over how many targets. */
export interface Evaluation {
  readonly ce: number
  readonly count: number
}

interface Evaluated {
  readonly backend: Backend
  readonly settings: TrainSettings
  readonly plans: StepPlans
  /** Of several ranks. */
  readonly rounds: Rounds | undefined
  /** Where no rank keeps them whole. */
  readonly weights: ShardedWeights | undefined
}

/** The mean over the targets of all micro-batches. */
export async function lossOf(
  parts: readonly MicroBatch[],
  evaluated: Evaluated & { readonly parameters: readonly Parameter[] },
): Promise<Evaluation> {
  const { backend, settings, plans, rounds, weights, parameters } = evaluated
  const { prepared, needs } = evaluationOf(backend, plans, weights)
  let [sum, count] = [0, 0]
  for (const part of parts) {
    if (part.counted === 0) {
      await rounds?.forward(needs, undefined)
      continue
    }
    await nextTurn()
    upload(backend, plans, part, part.counted)
    leaveOut(backend, plans.batch.dropout, settings.adapter)
    await (rounds ? rounds.forward(needs, prepared) : prepared.run())
    const numbers = await readBound(plans.report, backend)
    sum += (numbers[termPlace(parameters, 0)] as number) * part.counted
    count += part.counted
  }
  return { ce: sum / count, count }
}

/** Takes part in an evaluation of the others, where ranks have parts of the weights. */
export async function accompanyLoss(evaluated: Evaluated): Promise<void> {
  const { backend, settings, plans, rounds, weights } = evaluated
  if (!weights) return
  const { needs } = evaluationOf(backend, plans, weights)
  for (let i = 0; i < settings.accumulation; i++) await rounds?.forward(needs, undefined)
}
