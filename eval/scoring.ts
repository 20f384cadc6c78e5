// Requests as calls of a Scorer, and what is logged of each document.
import { show } from "../model/json.ts"
import { RequestError } from "./request_error.ts"
import type { Answer, Document, Filter, Request, Scorer, Task, Value, Work } from "./types.ts"

/** A document as the original's log has it. */
export interface Sample {
  readonly doc_id: number
  readonly doc: Document
  readonly target: unknown
  /** What was asked: of a log-likelihood the context and the continuation. */
  readonly arguments: readonly (readonly unknown[])[]
  /** Each answer, in a list of its own: of a log-likelihood the number, and whether it is greedy. */
  readonly resps: readonly (readonly unknown[])[]
  readonly filtered_resps: readonly unknown[]
  /** Where the task has filters of its own. */
  readonly filter?: string
  /** And its metrics by name. */
  readonly [metric: string]: unknown
}

const plain: readonly Filter[] = [{ name: "none", apply: (answer) => answer }]

type Kind = Request["kind"]

/** How requests of a kind are given to a Scorer. */
const asks: Readonly<
  Record<Kind, (scorer: Scorer, own: never, work: Work) => Promise<readonly Answer[]> | undefined>
> = {
  logLikelihood: (scorer, own: readonly (Request & { readonly kind: "logLikelihood" })[], work) =>
    scorer.logLikelihood(
      own.map(({ context, continuation }) => ({ context, continuation })),
      work,
    ),
  rolling: (scorer, own: readonly (Request & { readonly kind: "rolling" })[], work) =>
    scorer.rolling?.(
      own.map(({ text }) => text),
      work,
    ),
  generateUntil: (scorer, own: readonly (Request & { readonly kind: "generateUntil" })[], work) =>
    scorer.generateUntil?.(
      own.map(({ kind, ...rest }) => rest),
      work,
    ),
}

/** Answers to requests, in their order. Throws TypeError for a Scorer that lacks what is asked for, and for
 *  answers that are none. */
export async function answersTo(
  scorer: Scorer,
  requests: readonly Request[],
  work: Work,
): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const kind of Object.keys(asks) as Kind[]) {
    const places = requests.flatMap((each, i) => (each.kind === kind ? [i] : []))
    if (places.length === 0) continue
    const own = places.map((i) => requests[i])
    const told: Work = {
      ...work,
      onAnswer: (n, answer) => work.onAnswer?.(places[n] as number, checked(kind, answer)),
    }
    const found = await asks[kind](scorer, own as never, told)?.catch((error: Error) => {
      if (!(error instanceof RequestError)) throw error
      const place = places[error.request] as number
      throw new RequestError(place, error.message, { cause: error })
    })
    if (!found) throw new TypeError(`the Scorer has no ${kind}, which a task asks for`)
    if (!Array.isArray(found) || found.length !== own.length) {
      throw new TypeError(`${kind} gave ${show(found)}, expected ${own.length} answers`)
    }
    for (const [n, i] of places.entries()) answers[i] = checked(kind, found[n])
  }
  return answers
}

function checked(kind: Kind, answer: Answer): Answer {
  const isNumber = (x: unknown): boolean => typeof x === "number" && !Number.isNaN(x)
  if (kind === "generateUntil" && typeof answer === "string") return answer
  if (kind === "rolling" && isNumber(answer)) return answer
  if (kind === "logLikelihood" && typeof answer === "object" && isNumber(answer?.logProb)) {
    return answer
  }
  const got = typeof answer === "object" ? JSON.stringify(answer) : show(answer)
  throw new TypeError(`${kind} gave ${got} as an answer`)
}

/** What a document is scored with, and its line in the log: one for each filter. */
export function scored(
  task: Task,
  id: number,
  { row, document }: { readonly row: Document; readonly document: Document },
  requests: readonly Request[],
  answers: readonly Answer[],
): {
  readonly values: readonly (readonly [key: string, value: Value])[]
  readonly samples: Sample[]
} {
  const values: [string, Value][] = []
  const samples = (task.filters ?? plain).map((filter) => {
    const filtered = answers.map((answer) => filter.apply(answer))
    const metrics = task.score(document, filtered)
    for (const [metric, value] of Object.entries(metrics)) {
      values.push([`${metric},${filter.name}`, value])
    }
    return {
      doc_id: id,
      doc: row,
      target: task.target(document),
      arguments: requests.map(argumentsOf),
      resps: answers.map((answer) => [asLogged(answer)]),
      filtered_resps: filtered.map(asLogged),
      ...(task.filters ? { filter: filter.name } : {}),
      ...metrics,
    }
  })
  return { values, samples }
}

/** What was asked, as the original's log has it. */
export function argumentsOf(request: Request): readonly unknown[] {
  if (request.kind === "rolling") return [request.text]
  if (request.kind === "logLikelihood") return [request.context, request.continuation]
  const { context, until, maxNewTokens, temperature = 0 } = request
  const given = {
    ...(maxNewTokens === undefined ? {} : { max_gen_toks: maxNewTokens }),
    ...(temperature > 0 ? { temperature } : {}),
  }
  return [context, { until, ...given, do_sample: temperature > 0 }]
}

const asLogged = (answer: Answer): unknown =>
  typeof answer === "object" ? [answer.logProb, answer.isGreedy] : answer

/** An answer from a log. Throws TypeError for what is none. */
export function fromLog(kind: Kind, [logged]: readonly unknown[]): Answer {
  if (kind !== "logLikelihood") return checked(kind, logged as Answer)
  const [logProb, isGreedy] = Array.isArray(logged) ? logged : [Number.NaN]
  // JSON has no infinity: what is impossible is null there.
  return checked(kind, {
    logProb: logProb ?? Number.NEGATIVE_INFINITY,
    isGreedy: Boolean(isGreedy),
  })
}
