// `elm eval`: the paper's evaluation, or other tasks, of a model.
import { join } from "node:path"
import { type Evaluation, openEvaluation } from "../../eval/evaluate.ts"
import type { Results } from "../../eval/index.ts"
import { type EvaluationLog, openLog } from "../../eval/log.ts"
import { scorerOf } from "../../eval/scorer.ts"
import { type Suite, scoresOf } from "../../eval/suites.ts"
import { printable } from "../../model/index.ts"
import { command } from "../line/command.ts"
import { evaluationFlags, type Part, planOf } from "../line/evaluation.ts"
import type { ValuesOf } from "../line/flags.ts"
import { modelFlags, withModel } from "../line/model.ts"
import { json, machine } from "../line/options.ts"
import { whileRunning } from "../terminal/ending.ts"
import {
  metricRows,
  metricTable,
  partialText,
  progressOf,
  suiteTables,
  suiteText,
} from "../terminal/evaluation.ts"
import { writeWhole } from "../terminal/files.ts"
import { measured } from "../terminal/output.ts"
import { reporter } from "../terminal/progress.ts"
import { tableText } from "../terminal/table.ts"

const { assistantModel: _, ...ofModel } = modelFlags
const flags = { ...evaluationFlags, ...ofModel, ...machine, ...json }
type Flags = ValuesOf<typeof flags>

/** What is asked at a time, and lost where the command is killed meanwhile. */
const requestsAtOnce = 64

/** A part with what is known of it. */
interface Open {
  readonly part: Part
  readonly evaluation: Evaluation
  readonly log: EvaluationLog | undefined
}

export const run = command({
  name: "run",
  description: "evaluate a model on the paper's tasks, or on one's own",
  flags,
  after:
    "Examples:\n" +
    "  elm eval --suite zero-shot --data my-data\n" +
    "  elm eval --paper --model apple/OpenELM-270M --tokenizer llama --data my-data --out my-eval\n" +
    "  elm eval --tasks arc_easy,my-task.yaml --shots 5 --data my-data --limit 100",
  tables: [metricTable, ...suiteTables.values()],
  async run(flags) {
    const { parts, shown } = planOf(flags)
    await measured(
      flags,
      () => evaluated(parts, flags),
      (found) => ({
        text: textOf(found, shown, flags),
        json: jsonOf(found, parts, shown),
      }),
    )
  },
})

/** Tables of all metrics, then a row for each suite, and what is not whole. */
function textOf(found: readonly Results[], shown: readonly Suite[], flags: Flags): string {
  const { model = "the package's model", paper } = flags
  return [
    ...found.map((each) => tableText(metricTable, metricRows(each))),
    ...shown.map((suite) => suiteText(suite, model, ofSuite(suite, found), paper === true)),
    ...found.map(partialText).filter((text) => text !== ""),
  ].join("\n")
}

/** The original's results; of several parts each by its name. And the averages of suites. */
function jsonOf(
  found: readonly Results[],
  parts: readonly Part[],
  shown: readonly Suite[],
): object {
  const averageOf = (suite: Suite) => scoresOf(suite, ofSuite(suite, found)).average ?? null
  const averages = Object.fromEntries(shown.map((suite) => [suite.name, averageOf(suite)]))
  const named = parts.map(({ name }, i) => [name, found[i]] as const)
  const results = named.length === 1 ? found[0] : { parts: Object.fromEntries(named) }
  return { ...results, ...(shown.length > 0 ? { averages } : {}) }
}

/** The results of a suite's tasks with its numbers of shots, in whichever part they are. */
const ofSuite = ({ columns }: Suite, found: readonly Results[]): Results["results"] =>
  Object.fromEntries(
    columns.flatMap(({ task, shots }) => {
      const own = found.find((each) => each["n-shot"][task] === shots)?.results[task]
      return own ? [[task, own] as const] : []
    }),
  )

/** The results of each part: of what there is, where the command was ended before. */
async function evaluated(parts: readonly Part[], flags: Flags): Promise<readonly Results[]> {
  const report = reporter()
  const interrupt = new AbortController()
  const running = whileRunning((reason) => {
    report.done()
    if (reason === "signal") console.error("Stopping; Ctrl-C once more ends at once")
    interrupt.abort()
  })
  const say = (text: string): void => {
    report.done()
    console.error(printable(text))
  }
  const all: Open[] = []
  try {
    report("reading the data")
    for (const part of parts) all.push(await opened(part, flags, interrupt.signal, report, say))
    if (all.some(({ evaluation }) => evaluation.left > 0)) await answered(all, flags)
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
  } finally {
    report.done()
    running()
    for (const { log } of all) log?.close()
  }
  const found = all.map(({ evaluation }) => withModelNamed(evaluation.results(), flags))
  for (const [i, { part }] of all.entries()) {
    if (flags.out === undefined) continue
    const file = join(flags.out, part.name, "results.json")
    await writeWhole(file, `${JSON.stringify(found[i], undefined, 2)}\n`)
  }
  return found
}

async function opened(
  part: Part,
  { data, limit, shard, out, resume }: Flags,
  signal: AbortSignal,
  report: ReturnType<typeof reporter>,
  say: (text: string) => void,
): Promise<Open> {
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
    requestsAtOnce,
    onNotice: say,
    onProgress: progressOf(report),
  })
  return { part, evaluation, log }
}

const answered = (all: readonly Open[], flags: Flags): Promise<void> =>
  withModel({ ...flags, assistantModel: undefined }, async ({ model }) => {
    const scorer = scorerOf(model)
    for (const { evaluation, log } of all) {
      if (evaluation.left > 0) await log?.begin(answererOf(flags))
      await evaluation.run(scorer)
    }
  })

/** What must be the same where a log is gone on with. */
const answererOf = ({ model, dtype, adapter, tokenizer }: Flags) => ({
  ...{ model, dtype, adapter, tokenizer },
})

/** With what the original's `config` says of the model. */
function withModelNamed(results: Results, { model, dtype, adapter, backend }: Flags): Results {
  const given = { pretrained: model ?? "", dtype, peft: adapter }
  const named = Object.entries(given).filter(([, value]) => value !== undefined)
  const args = named.map(([name, value]) => `${name}=${value}`).join(",")
  const config = { ...results.config, model: "openelm", model_args: args, device: backend }
  return { ...results, config }
}
