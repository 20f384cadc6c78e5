// `elm eval curve`: how accuracy grew over a training, by its checkpoints and the average of the last ones.
import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { type CurvePoint, curveCsv, curveJson } from "../../eval/curve.ts"
import { optionsOf, type Suite, suites } from "../../eval/suites.ts"
import { inTemporaryFolder, treeOf } from "../../model/index.ts"
import { averageModels } from "../../train/run/average.ts"
import { checkpointsIn } from "../../train/run/checkpoint.ts"
import { paths, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { answering, evaluated } from "../line/evaluated.ts"
import { evaluationFlags } from "../line/evaluation.ts"
import { positional, required, under, type ValuesOf, valued } from "../line/flags.ts"
import { headings, json, machine } from "../line/options.ts"
import { checkAlone } from "../line/ranks.ts"
import { curveSvg, curveText } from "../terminal/curve.ts"
import { suiteTables } from "../terminal/evaluation.ts"
import { writeWhole } from "../terminal/files.ts"
import { measured } from "../terminal/output.ts"

const { suite, limit, data, out, resume } = evaluationFlags
const { model: _, adapter: __, ...ofModel } = answering

const flags = {
  ...{
    suite: { ...suite, default: "zero-shot" as const },
    limit,
    data,
    out: required(out),
    resume,
  },
  ...under(headings.evaluation, {
    average: valued(
      "<n>",
      "average the weights of the last so many too; 0 for none",
      whole(0, 1000),
      5,
    ),
  }),
  ...{ ...ofModel, ...machine, ...json },
}
type Flags = ValuesOf<typeof flags>

export const curve = command({
  name: "curve",
  description: "draw accuracy over the checkpoints of a training",
  arguments: [positional("<checkpoints...>", "models, or one run for all that it has kept", paths)],
  flags,
  after:
    "The last number in a checkpoint's name is its iteration. --out gets curve.svg, curve.csv and\n" +
    "curve.json, and a log for each checkpoint, with which --resume goes on.\n\n" +
    "Example:\n  elm eval curve my-run --data my-data --out my-curve",
  tables: [...suiteTables.values()],
  async run(flags, { args: [given] }) {
    checkAlone()
    const suite = suites.find(({ name }) => name === flags.suite) as Suite
    const checkpoints = await inOrder(given)
    await measured(
      flags,
      () => pointsOf(suite, checkpoints, flags),
      (points) => points,
    )
  },
})

/** A checkpoint, and after how many iterations it was made. */
interface Made {
  readonly path: string
  readonly iteration: number
}

/** Oldest first. Throws Error or RangeError where one is not there, has no iteration, or another's. */
async function inOrder(given: readonly string[]): Promise<readonly Made[]> {
  const run = given.length === 1 ? await checkpointsIn(given[0] as string) : []
  const made = (run.length > 0 ? run : given).map((path) => {
    if (treeOf(path).path !== undefined && !existsSync(path)) {
      throw new Error(`There is nothing at ${path}`)
    }
    const [digits] = basename(path).match(/\d+(?=\D*$)/) ?? []
    if (digits !== undefined) return { path, iteration: Number(digits) }
    throw new RangeError(`${path} has no iteration in its name, expected such as step-5000`)
  })
  made.sort((a, b) => a.iteration - b.iteration)
  for (const [i, { path, iteration }] of made.entries()) {
    const before = made[i - 1]
    if (before?.iteration !== iteration) continue
    throw new RangeError(`${before.path} and ${path} are both of iteration ${iteration}`)
  }
  return made
}

/** Points of checkpoints, in order, and of the average of the last; those before Ctrl-C. The files are
 *  written again with each of them. */
async function pointsOf(suite: Suite, checkpoints: readonly Made[], flags: Flags) {
  const points: CurvePoint[] = []
  const last = flags.average < 2 ? [] : checkpoints.slice(-flags.average)
  const works = checkpoints.map((each) => [each])
  if (last.length > 1) works.push(last)
  let text = ""
  for (const work of works) {
    const point = await pointOf(suite, work, flags, points.length > 0)
    if (!point) break
    points.push(point)
    text = await curveText(suite, points)
    await writeFiles(suite, points, flags.out)
  }
  if (points.length < works.length) text += `\nOf ${points.length} of ${works.length} points alone`
  return { text, json: curveJson(suite, points) }
}

/** Of one checkpoint, or the average of several; undefined where Ctrl-C ended it. */
async function pointOf(
  suite: Suite,
  made: readonly Made[],
  flags: Flags,
  isQuiet: boolean,
): Promise<CurvePoint | undefined> {
  const { path, iteration } = made.at(-1) as Made
  const [first] = made as readonly [Made]
  const isAverage = made.length > 1
  const part = isAverage ? `average-${first.iteration}-${iteration}` : `iteration-${iteration}`
  const names = made.map((each) => each.path)
  const checkpoint = names.join(" + ")
  const rest = { tasks: undefined, shots: undefined, shard: undefined }
  const none = { paper: undefined, demo: undefined }
  const [found] = await evaluated(
    [{ name: part, isSuite: true, ...optionsOf(suite) }],
    { ...flags, ...rest, ...none, model: path, adapter: undefined },
    { isQuiet, ...(isAverage ? { name: checkpoint, during: averaging(names) } : {}) },
  )
  if (!found || found.partial) return undefined
  const averageOf = isAverage ? { averageOf: made.length } : {}
  return { checkpoint, iteration, ...averageOf, results: found.results }
}

const averaging = (names: readonly string[]) => (work: (model: string) => Promise<void>) =>
  inTemporaryFolder("openelm-average-", async (folder) => {
    const model = join(folder, "average")
    await averageModels(names, model)
    await work(model)
  })

async function writeFiles(suite: Suite, points: readonly CurvePoint[], out: string): Promise<void> {
  const files = {
    "curve.json": `${JSON.stringify(curveJson(suite, points), undefined, 2)}\n`,
    "curve.csv": curveCsv(suite, points),
    "curve.svg": await curveSvg(suite, points),
  }
  for (const [name, text] of Object.entries(files)) await writeWhole(join(out, name), text)
}
