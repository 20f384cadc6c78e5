// An evaluation as commands run it: with a log, progress, and a partial result on Ctrl-C.
import { join } from "node:path"
import { openEvaluation } from "../../eval/evaluate.ts"
import type { Results } from "../../eval/index.ts"
import { scorerOf } from "../../eval/scorer.ts"
import { printable } from "../../model/index.ts"
import { alone, type Communicator } from "../../train/parallel/communicator.ts"
import { whileRunning } from "../terminal/ending.ts"
import { progressOf } from "../terminal/evaluation.ts"
import { writeWhole } from "../terminal/files.ts"
import { reporter } from "../terminal/progress.ts"
import { withBeats } from "./beats.ts"
import type { evaluationFlags, Part } from "./evaluation.ts"
import type { ValuesOf } from "./flags.ts"
import { modelFlags, withModel } from "./model.ts"
import type { machine } from "./options.ts"
import {
  beginLogs,
  joinAll,
  type Open,
  openLogs,
  progressOfRanks,
  shareOf,
  takeAll,
} from "./shared_evaluation.ts"

const { assistantModel: _, ...answering } = modelFlags

/** The model that answers. */
export { answering }

type Flags = ValuesOf<typeof evaluationFlags & typeof answering & typeof machine>

/** A model that is there for as long as it is needed, and who asks it. */
interface Answerer {
  /** As the log and the results have it, default --model. */
  readonly name?: string | undefined
  /** Default where --model is. */
  during?(work: (model: string | undefined) => Promise<void>): Promise<void>
  /** Whether what is unusual of the data has been said. */
  readonly isQuiet?: boolean
  /** Processes of which each asks about its share of the documents; the first has the results of all. */
  readonly ranks?: Communicator
}

/** What is said on the way, and what ends it. */
interface Said {
  readonly ranks: Communicator
  readonly report: ReturnType<typeof reporter>
  readonly signal: AbortSignal
  say(text: string): void
}

/** The results of each part: of what there is, where the command was ended before. */
export async function evaluated(
  parts: readonly Part[],
  flags: Flags,
  {
    name = flags.model,
    during = (work) => work(flags.model),
    isQuiet,
    ranks = alone,
  }: Answerer = {},
): Promise<readonly Results[]> {
  const report = reporter()
  const isFirst = ranks.rank === 0
  const interrupt = new AbortController()
  const running = whileRunning((reason) => {
    report.done()
    if (reason === "signal" && isFirst) console.error("Stopping; Ctrl-C once more ends at once")
    interrupt.abort()
  })
  const say = (text: string): void => {
    if (isQuiet || !isFirst) return
    report.done()
    console.error(printable(text))
  }
  const { signal } = interrupt
  const all: Open[] = []
  try {
    report("reading the data")
    await openAll(all, parts, flags, { ranks, report, signal, say })
    await beginLogs(ranks, all, answererOf({ ...flags, model: name }))
    const left = (): number => all.reduce((sum, { evaluation }) => sum + evaluation.left, 0)
    const answering = async (): Promise<void> => {
      if (left() > 0) await during((model) => answered(all, { ...flags, model }))
    }
    const unlessEnded = (error: unknown): void => {
      if (!signal.aborted) throw error
    }
    await withBeats(ranks, answering().catch(unlessEnded), left, progressOfRanks(report))
  } finally {
    report.done()
    running()
    for (const { log } of all) log?.close()
  }
  await takeAll(ranks, all)
  const found = all.map(({ evaluation }) =>
    withModelNamed(evaluation.results(), { ...flags, model: name }),
  )
  if (isFirst && flags.out !== undefined) await writeAll(parts, found, flags.out, ranks)
  return found
}

async function writeAll(
  parts: readonly Part[],
  found: readonly Results[],
  out: string,
  ranks: Communicator,
): Promise<void> {
  for (const [i, part] of parts.entries()) {
    const own = found[i] as Results
    if (ranks.size > 1) await joinAll(out, part, own)
    const file = join(out, part.name, "results.json")
    await writeWhole(file, `${JSON.stringify(own, undefined, 2)}\n`)
  }
}

/** Opens the parts, one after the other, into `all`. */
async function openAll(
  all: Open[],
  parts: readonly Part[],
  { data: given, limit, shard: asked, out, resume }: Flags,
  { ranks, report, signal, say }: Said,
): Promise<void> {
  const shard = shareOf(ranks) ?? asked
  const how = { shard, resume: resume === true }
  const logs = out === undefined ? [] : await openLogs(ranks, parts, out, how)
  for (const [i, part] of parts.entries()) {
    const log = logs[i]
    const data = part.data ?? given
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
      // Of several, the beats say it.
      ...(ranks.size === 1 ? { onProgress: progressOf(report) } : {}),
    })
    all.push({ part, evaluation, log })
  }
}
const answered = (all: readonly Open[], flags: Flags): Promise<void> =>
  withModel({ ...flags, assistantModel: undefined }, async ({ model }) => {
    const scorer = scorerOf(model)
    for (const { evaluation } of all) await evaluation.run(scorer)
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
