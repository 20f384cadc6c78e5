// A grid of runs over learning rates and epochs, each in a folder of its own: finished ones are read, begun ones
// go on, and what all of them came to lies beside them.
import { fromNode } from "../../engine/node.ts"
import { writeFileWhole } from "../../model/index.ts"
import { isObject, parseJson, show } from "../../model/json.ts"
import type { Chart } from "../run/chart.ts"
import { checkpointsIn } from "../run/checkpoint.ts"
import { readMetrics } from "../run/log.ts"
import type { Validation } from "../run/metrics.ts"
import type { RunResult } from "../run/run.ts"
import { claim } from "./claim.ts"
import type { TuneSettings } from "./fields.ts"

/** What a run of a grid came to. */
export interface GridResult {
  readonly lr: number
  readonly epochs: number
  /** Its folder, within that of the grid. */
  readonly folder: string
  /** Updates made. */
  readonly step: number
  /** That of the best validation, and what it was. */
  readonly best: number
  readonly loss: number
  readonly last: Validation
}

const resultFile = "result.json"
const referenceFile = "reference.jsonl"

const nameOf = (lr: number, epochs: number): string => `lr-${lr}-epochs-${epochs}`

/** Runs every combination, one after the other; `perform` goes on from a folder where it is given one. Of a run
 *  that was stopped nothing more is run: undefined. Throws RangeError for a folder with other settings. */
export async function tuneGrid<S extends TuneSettings>(
  settings: S,
  { lr: rates, epochs }: { readonly lr: readonly number[]; readonly epochs: readonly number[] },
  perform: (settings: S, resume: string | undefined) => Promise<RunResult>,
): Promise<readonly GridResult[] | undefined> {
  const { join } = fromNode("node:path")
  const { copyFile } = fromNode("node:fs/promises")
  if (settings.validation === 0) {
    throw new RangeError("a grid is decided by validation. Give one")
  }
  const results: GridResult[] = []
  for (const lr of rates) {
    for (const each of epochs) {
      const folder = nameOf(lr, each)
      const out = join(settings.out, folder)
      const own = { ...settings, lr, epochs: each, out }
      await claim(out, own)
      const before = await finished(out)
      if (before) {
        results.push(before)
        continue
      }
      const other = results.at(-1)
      if (other) {
        const from = join(settings.out, other.folder, referenceFile)
        // Where it is of the same model and examples, it need not be computed again.
        await copyFile(from, join(out, referenceFile)).catch(() => {})
      }
      const isBegun = (await checkpointsIn(out)).length > 0
      const result = await perform(own, isBegun ? out : undefined)
      if (result.stopped) return undefined
      results.push(await written(own, folder, result))
    }
  }
  await writeGrid(settings.out, results)
  return results
}

/** A file's bytes; undefined where it is not there. */
const readIfThere = (path: string): Promise<Uint8Array | undefined> =>
  fromNode("node:fs/promises")
    .readFile(path)
    .catch(() => undefined)

async function finished(out: string): Promise<GridResult | undefined> {
  const path = fromNode("node:path").join(out, resultFile)
  const bytes = await readIfThere(path)
  if (!bytes) return undefined
  const json = parseJson(bytes, path)
  if (isObject(json) && Number.isFinite(json.loss)) return json as unknown as GridResult
  throw new SyntaxError(`${path} is ${show(json)}, expected the result of a run`)
}

async function written(
  settings: TuneSettings,
  folder: string,
  { step, best, lastEvaluation: last }: RunResult,
): Promise<GridResult> {
  const path = fromNode("node:path").join(settings.out, resultFile)
  const lines = readMetrics(fromNode("node:path").join(settings.out, "metrics.jsonl"))
  const validations = lines.flatMap((line) => ("validation_loss" in line ? [line] : []))
  const end = last ?? validations.at(-1)
  if (!end)
    throw new RangeError(`${folder} has no validation: give more records, or a file of them`)
  const { lr, epochs } = settings
  const found = best ?? { step: end.step, loss: end.validation_loss }
  const result = { lr, epochs, folder, step, best: found.step, loss: found.loss, last: end }
  const text = JSON.stringify(result, null, 1)
  await writeFileWhole(path, new TextEncoder().encode(`${text}\n`))
  return result
}

/** The run with the least loss. */
export const bestOf = (results: readonly GridResult[]): GridResult =>
  results.reduce((best, each) => (each.loss < best.loss ? each : best))

/** grid.json and grid.svg: what all came to, and their validations. */
async function writeGrid(out: string, results: readonly GridResult[]): Promise<void> {
  const { join } = fromNode("node:path")
  const { chartSvg } = await import("../run/chart.ts")
  const files = {
    "grid.json": `${JSON.stringify({ best: bestOf(results).folder, results }, null, 1)}\n`,
    "grid.svg": chartSvg(chartOf(out, results)),
  }
  for (const [name, text] of Object.entries(files)) {
    await writeFileWhole(join(out, name), new TextEncoder().encode(text))
  }
}

function chartOf(out: string, results: readonly GridResult[]): Chart {
  const { join } = fromNode("node:path")
  const series = results.map(({ lr, epochs, folder }) => ({
    name: `lr ${lr}, ${epochs} epochs`,
    marked: true,
    points: readMetrics(join(out, folder, "metrics.jsonl")).flatMap((line): [number, number][] =>
      "validation_loss" in line ? [[line.step, line.validation_loss]] : [],
    ),
  }))
  return { title: "validation loss by update", x: "update", y: "validation loss", series }
}
