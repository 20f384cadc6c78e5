// An evaluation as commands run it: with a log, progress, and a partial result on Ctrl-C.
import { join } from "node:path"
import { type Evaluation, openEvaluation } from "../../eval/evaluate.ts"
import type { Results } from "../../eval/index.ts"
import { type EvaluationLog, openLog } from "../../eval/log.ts"
import { scorerOf } from "../../eval/scorer.ts"
import { printable } from "../../model/index.ts"
import { whileRunning } from "../terminal/ending.ts"
import { progressOf } from "../terminal/evaluation.ts"
import { writeWhole } from "../terminal/files.ts"
import { reporter } from "../terminal/progress.ts"
import type { evaluationFlags, Part } from "./evaluation.ts"
import type { ValuesOf } from "./flags.ts"
import { modelFlags, withModel } from "./model.ts"
import type { machine } from "./options.ts"

const { assistantModel: _, ...answering } = modelFlags

/** The model that answers. */
export { answering }

type Flags = ValuesOf<typeof evaluationFlags & typeof answering & typeof machine>

/** A part with what is known of it. */
interface Open {
  readonly part: Part
  readonly evaluation: Evaluation
  readonly log: EvaluationLog | undefined
}

/** A model that is there for as long as it is needed. */
interface Answerer {
  /** As the log and the results have it, default --model. */
  readonly name?: string | undefined
  /** Default where --model is. */
  during?(work: (model: string | undefined) => Promise<void>): Promise<void>
  /** Whether what is unusual of the data has been said. */
  readonly isQuiet?: boolean
}

/** The results of each part: of what there is, where the command was ended before. */
export async function evaluated(
  parts: readonly Part[],
  flags: Flags,
  { name = flags.model, during = (work) => work(flags.model), isQuiet }: Answerer = {},
): Promise<readonly Results[]> {
  const report = reporter()
  const interrupt = new AbortController()
  const running = whileRunning((reason) => {
    report.done()
    if (reason === "signal") console.error("Stopping; Ctrl-C once more ends at once")
    interrupt.abort()
  })
  const say = (text: string): void => {
    if (isQuiet) return
    report.done()
    console.error(printable(text))
  }
  const all: Open[] = []
  try {
    report("reading the data")
    for (const part of parts) all.push(await opened(part, flags, interrupt.signal, report, say))
    if (all.some(({ evaluation }) => evaluation.left > 0)) {
      await during((model) => answered(all, { ...flags, model }, name))
    }
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
  } finally {
    report.done()
    running()
    for (const { log } of all) log?.close()
  }
  const found = all.map(({ evaluation }) =>
    withModelNamed(evaluation.results(), { ...flags, model: name }),
  )
  for (const [i, { part }] of all.entries()) {
    if (flags.out === undefined) continue
    const file = join(flags.out, part.name, "results.json")
    await writeWhole(file, `${JSON.stringify(found[i], undefined, 2)}\n`)
  }
  return found
}

async function opened(
  part: Part,
  { data: given, limit, shard, out, resume }: Flags,
  signal: AbortSignal,
  report: ReturnType<typeof reporter>,
  say: (text: string) => void,
): Promise<Open> {
  const data = part.data ?? given
  const log =
    out === undefined
      ? undefined
      : await openLog(join(out, part.name), { shard, resume: resume === true })
  const evaluation = await openEvaluation({
    tasks: part.tasks,
    ...(part.shots === undefined ? {} : { shots: part.shots }),
    ...(data === undefined ? {} : { data }),
    ...(limit === undefined ? {} : { limit }),
    ...(shard ? { shard } : {}),
    ...(part.isSuite ? { onMissing: (_: string, text: string) => say(`Left out: ${text}`) } : {}),
    ...(log ? { previous: log.previous, onSample: log.append } : {}),
    signal,
    onNotice: say,
    onProgress: progressOf(report),
  })
  return { part, evaluation, log }
}

const answered = (all: readonly Open[], flags: Flags, name: string | undefined): Promise<void> =>
  withModel({ ...flags, assistantModel: undefined }, async ({ model }) => {
    const scorer = scorerOf(model)
    for (const { evaluation, log } of all) {
      if (evaluation.left > 0) await log?.begin(answererOf({ ...flags, model: name }))
      await evaluation.run(scorer)
    }
  })

/** What must be the same where a log is gone on with. */
const answererOf = ({ model, dtype, adapter, tokenizer }: Flags) => ({
  ...{ model, dtype, adapter, tokenizer },
})

/** With what the original's `config` says of the model. */
function withModelNamed(results: Results, { model, dtype, adapter, backend }: Flags): Results {
  const given = { pretrained: model, dtype, peft: adapter }
  const named = Object.entries(given).filter(([, value]) => value !== undefined)
  const args = named.map(([name, value]) => `${name}=${value}`).join(",")
  const config = { ...results.config, model: "openelm", model_args: args, device: backend }
  return { ...results, config }
}
