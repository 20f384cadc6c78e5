// `elm eval`: the paper's evaluation, or other tasks, of a model.
import type { Results } from "../../eval/index.ts"
import { type Suite, scoresOf } from "../../eval/suites.ts"
import type { Communicator } from "../../train/parallel/communicator.ts"
import { errorOfRank } from "../../train/run/ranks.ts"
import { usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { answering, evaluated } from "../line/evaluated.ts"
import { evaluationFlags, ofSuite, type Part, planOf } from "../line/evaluation.ts"
import type { ValuesOf } from "../line/flags.ts"
import { json, machine } from "../line/options.ts"
import {
  asRank,
  beginRanks,
  isLaunched,
  isRestart,
  processFlags,
  sayAtEnd,
  threadsOfRank,
} from "../line/ranks.ts"
import { dim } from "../terminal/colour.ts"
import {
  metricRows,
  metricTable,
  partialText,
  suiteTables,
  suiteText,
} from "../terminal/evaluation.ts"
import { measured } from "../terminal/output.ts"
import { tableText } from "../terminal/table.ts"

const flags = {
  ...{ ...evaluationFlags, ...answering, ...machine, ...json },
  ...processFlags("share the documents", "from the log of --out"),
}
type Flags = ValuesOf<typeof flags>

export const run = command({
  name: "run",
  description: "evaluate a model on the paper's tasks, or on one's own",
  flags,
  after:
    "Examples:\n  elm eval --demo\n" +
    "  elm eval --suite zero-shot --data my-data\n" +
    "  elm eval --paper --model apple/OpenELM-270M --tokenizer llama --data my-data --out my-eval\n" +
    "  elm eval --tasks arc_easy,my-task.yaml --shots 5 --data my-data --limit 100",
  tables: [metricTable, ...suiteTables.values()],
  async run(given) {
    const { processes, restarts, out } = given
    if (restarts > 0 && out === undefined) throw usageError("--restarts needs --out")
    const plan = planOf(given)
    const standing = () => standingOf(given)
    if (processes && !isLaunched()) return beginRanks(processes, given, standing)
    return asRank(
      given,
      async (ranks) => {
        sayAtEnd(ranks, standing)
        try {
          await evaluateAs(ranks, given, plan)
        } catch (error) {
          throw await errorOfRank(error, standing, ranks)
        }
      },
      standing,
    )
  },
})

/** What there is where a process has failed. */
const standingOf = async ({ out }: Flags): Promise<string> =>
  out === undefined
    ? "Nothing is kept without --out"
    : `What was answered is in ${out}; go on with --resume`

/** The evaluation, or this process's share of it. */
async function evaluateAs(
  ranks: Communicator,
  given: Flags,
  { parts, shown }: ReturnType<typeof planOf>,
): Promise<void> {
  if (ranks.size > 1 && given.shard) {
    throw new RangeError("--shard is for processes that know nothing of each other. Leave it out")
  }
  const { threads = threadsOfRank(ranks).threads, resume = isRestart() || undefined } = given
  const flags = { ...given, resume, ...(threads === undefined ? {} : { threads }) }
  const evaluating = () => evaluated(parts, flags, { isQuiet: flags.demo === true, ranks })
  if (ranks.rank > 0) return void (await evaluating())
  await measured(flags, evaluating, (found) => ({
    text: textOf(found, parts, shown, flags),
    json: jsonOf(found, parts, shown),
  }))
}

/** Tables of all metrics, then a row for each suite, and what is not whole. */
function textOf(
  found: readonly Results[],
  parts: readonly Part[],
  shown: readonly Suite[],
  flags: Flags,
): string {
  const { model = "the package's model", paper } = flags
  return [
    ...found.map((each) => tableText(metricTable, metricRows(each))),
    ...shown.map((suite) => suiteText(suite, model, ofSuite(suite, parts, found), paper === true)),
    ...found.map(partialText).filter((text) => text !== ""),
    ...(flags.demo
      ? [
          dim(
            "Made-up documents, eight or twelve of each: they show how it works, not how good a model is",
          ),
        ]
      : []),
  ].join("\n")
}

/** The original's results; of several parts each by its name. And the averages of suites. */
function jsonOf(
  found: readonly Results[],
  parts: readonly Part[],
  shown: readonly Suite[],
): object {
  const averageOf = (suite: Suite) => scoresOf(suite, ofSuite(suite, parts, found)).average ?? null
  const averages = Object.fromEntries(shown.map((suite) => [suite.name, averageOf(suite)]))
  const named = parts.map(({ name }, i) => [name, found[i]] as const)
  const results = named.length === 1 ? found[0] : { parts: Object.fromEntries(named) }
  return { ...results, ...(shown.length > 0 ? { averages } : {}) }
}
