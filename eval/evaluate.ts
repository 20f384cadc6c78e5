// An evaluation from its tasks to its results: documents are read and checked first, all of them; then each
// task's requests go to the Scorer, so many documents at a time.
import { checkObject } from "../engine/index.ts"
import { LanguageModel } from "../model/index.ts"
import { show } from "../model/json.ts"
import { checkOptions, type EvaluateOptions } from "./options.ts"
import { planOf } from "./plan.ts"
import {
  type Asked,
  askedOf,
  keep,
  knownText,
  leftOf,
  type Prepared,
  prepare,
  takeKnown,
  takePrevious,
} from "./prepare.ts"
import { RequestError } from "./request_error.ts"
import { type Results, resultsOf } from "./results.ts"
import { scorerOf } from "./scorer.ts"
import { answersTo, scored } from "./scoring.ts"
import type { Answer, Scorer, Work } from "./types.ts"

/** An evaluation whose data has been read. */
export interface Evaluation {
  /** Documents that are left to be asked about. */
  readonly left: number
  /** Asks for all that is left to ask. Throws what the Scorer throws, and the signal's reason. */
  run(scorer: Scorer): Promise<void>
  /** What is known of its documents, for another process that evaluates another shard of the same. */
  known(): string
  /** Takes what that process knows. */
  take(known: string): void
  /** Of what has been answered. */
  results(): Results
}

/**
 * The metrics of a language model over tasks, as lm-evaluation-harness reports them. Throws RangeError or
 * TypeError for options and rows that make no sense, Error for files that cannot be read.
 * arXiv 2404.14619, tables 4 and 5
 */
export async function evaluate(
  model: LanguageModel | Scorer,
  options: EvaluateOptions,
): Promise<Results> {
  checkObject("evaluate: options", options)
  const scorer = model instanceof LanguageModel ? scorerOf(model) : model
  if (typeof scorer?.logLikelihood !== "function") {
    throw new TypeError(
      `evaluate: ${show(scorer)} is no model and no Scorer: it has no logLikelihood`,
    )
  }
  const evaluation = await openEvaluation(options)
  await evaluation.run(scorer)
  return evaluation.results()
}

/** Reads and checks the data of all tasks, and what is left of earlier logs. */
export async function openEvaluation(options: EvaluateOptions): Promise<Evaluation> {
  const whole = planOf(await loaded(options.tasks))
  checkOptions(options, whole)
  const prepared = await prepare(whole, options)
  const plan = { ...whole, tasks: prepared.map(({ task }) => task) }
  for (const each of prepared) await takePrevious(each, options)
  const { limit = null, bootstrapIterations = 100_000 } = options
  const known = { limit, bootstrap_iters: bootstrapIterations }
  return {
    get left() {
      return prepared.reduce((sum, each) => sum + leftOf(each), 0)
    },
    async run(scorer) {
      for (const each of prepared) await runTask(each, prepared, scorer, options)
    },
    known: () => knownText(prepared),
    take: (known) => takeKnown(prepared, known),
    results: () => resultsOf(plan, prepared.map(tallyOf), bootstrapIterations, configOf(known)),
  }
}

/** What is asked for, with the tasks of YAML files in place of their paths. */
const loaded = (asked: EvaluateOptions["tasks"]) =>
  Promise.all(
    asked.map(async (one) => {
      if (typeof one !== "string" || !/\.ya?ml$/.test(one)) return one
      const { loadTask } = await import("./own/load.ts")
      return loadTask(one)
    }),
  )

/** The fields that the original's `config` has. */
const configOf = (known: Readonly<Record<string, unknown>>): Results["config"] => ({
  ...{ model: null, model_args: null, batch_size: null, batch_sizes: [], device: null },
  ...{ use_cache: null, limit: null, bootstrap_iters: null, gen_kwargs: null },
  ...known,
})

/** Asks for what is left of a task, so many requests at a time. Of what fails or is ended, the documents
 *  are kept of which all is known. */
async function runTask(
  prepared: Prepared,
  all: readonly Prepared[],
  scorer: Scorer,
  options: EvaluateOptions,
): Promise<void> {
  const { task, of } = prepared
  const { signal, onProgress } = options
  const report = (): void =>
    onProgress?.({
      ...{ task: task.name, done: prepared.isDone.size, of },
      allDone: all.reduce((sum, { isDone }) => sum + isDone.size, 0),
      allOf: all.reduce((sum, one) => sum + one.of, 0),
    })
  report()
  for (const batch of batchesOf(prepared, options)) {
    signal?.throwIfAborted()
    const answers: (Answer | undefined)[] = []
    const work: Work = {
      ...(signal ? { signal } : {}),
      onAnswer(request, answer) {
        answers[request] = answer
      },
    }
    const requests = batch.flatMap((each) => each.requests)
    try {
      const all = await answersTo(scorer, requests, work)
      for (const [i, answer] of all.entries()) answers[i] = answer
    } catch (error) {
      throw error instanceof RequestError ? withPlace(error, task.name, batch) : error
    } finally {
      await keepAnswered(prepared, batch, answers, options)
    }
    report()
  }
}

/** Keeps the documents of a batch all of whose answers there are, in order. */
async function keepAnswered(
  prepared: Prepared,
  batch: readonly Asked[],
  answers: readonly (Answer | undefined)[],
  { onSample }: EvaluateOptions,
): Promise<void> {
  const { task } = prepared
  let at = 0
  for (const { id, item, requests } of batch) {
    const own = Array.from(requests, (_, i) => answers[at + i])
    at += requests.length
    if (own.includes(undefined)) continue
    const { values, samples } = scored(task, id, item, requests, own as readonly Answer[])
    for (const sample of samples) await onSample?.(task.name, sample)
    keep(prepared, id, values)
  }
}

/** The error with file and row of the document that it is about. */
function withPlace(error: RequestError, task: string, batch: readonly Asked[]): RangeError {
  let before = 0
  for (const { item, requests } of batch) {
    const own = error.request - before
    before += requests.length
    if (own >= requests.length) continue
    const which = `request ${own + 1} of ${requests.length}`
    return new RangeError(`${item.place}: ${task}, ${which}: ${error.message}`, { cause: error })
  }
  return error
}

/** Requests at a time, and characters of what is asked: of short documents many, which are read side by side,
 *  of long ones few, so that they are soon in the log. */
const usualRequests = 256
const usualCharacters = 2 ** 15

/** The documents that are left, in batches of so many requests or a few more. */
function* batchesOf(
  prepared: Prepared,
  { requestsAtOnce }: EvaluateOptions,
): Generator<readonly Asked[]> {
  const isDone = new Set(prepared.isDone)
  let batch: Asked[] = []
  let [requests, characters] = [0, 0]
  const isFull = (): boolean =>
    requestsAtOnce === undefined
      ? requests >= usualRequests || characters >= usualCharacters
      : requests >= requestsAtOnce
  for (const asked of askedOf(prepared)) {
    if (isDone.has(asked.id)) continue
    batch.push(asked)
    requests += asked.requests.length
    characters += charactersOf(asked)
    if (!isFull()) continue
    yield batch
    batch = []
    requests = 0
    characters = 0
  }
  if (batch.length > 0) yield batch
}

/** Of a document's contexts, each counted once, and of what may follow them. */
function charactersOf({ requests }: Asked): number {
  const contexts = new Set<string>()
  let sum = 0
  for (const request of requests) {
    contexts.add(request.kind === "rolling" ? request.text : request.context)
    if (request.kind === "logLikelihood") sum += request.continuation.length
  }
  for (const { length } of contexts) sum += length
  return sum
}

const tallyOf = ({ task, shots, values, isDone, items }: Prepared) => ({
  task,
  shots,
  done: isDone.size,
  of: items.length,
  values: new Map(
    [...values].map(([key, list]) => [key, list.filter((value) => value !== undefined)]),
  ),
})
