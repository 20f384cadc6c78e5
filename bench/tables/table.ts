// Runs the paper's tables: every row that fits this machine, one after the other. What is measured is
// kept in a folder, a file for each model and dtype, and not measured again.
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { OpenBackend } from "../../backends/index.ts"
import {
  type DecoderConfig,
  publishedConfig,
  type WeightDType,
  weightBytes,
  writeFileWhole,
} from "../../model/index.ts"
import type { Described } from "../measure/described.ts"
import { misfit } from "../measure/fits.ts"
import { busyShare, watchForeign } from "../measure/foreign.ts"
import { type Machine, machine } from "../measure/machine.ts"
import { compareNorms, type NormRow } from "../measure/norms.ts"
import type { Repeat } from "../measure/repeats.ts"
import type { Report } from "../measure/report.ts"
import { benchThroughput, type ThroughputRow } from "../measure/throughput.ts"
import type { PaperRow, PaperTable, Throughput } from "./paper.ts"

interface TableOptions {
  /** Of the rows of 16 bits. */
  readonly dtype: WeightDType
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
  /** Where what is measured is kept. */
  readonly folder: string
  /** Measures what is kept too. */
  readonly again?: boolean | undefined
  /** Of this machine, default what it has. */
  readonly memoryBytes?: number
}

/** What one unit of work gives: a model in a dtype, or a model with its norms in every way. */
interface KeptRow {
  readonly schema: "elm-bench-unit/1"
  readonly key: Readonly<Record<string, unknown>>
  readonly machine: Machine
  readonly measuredAt: string
  readonly seconds: number
  /** Share of the processors' time that other work took meanwhile. */
  readonly foreignShare: number
  readonly throughput?: ThroughputRow
  readonly norms?: readonly NormRow[]
}

export interface TableLine {
  readonly table: string
  readonly label: string
  readonly paper: Throughput | undefined
  /** Not there: did not fit, for this reason. */
  readonly skipped?: string
  readonly rates?: Throughput
  /** Generation as a share of reading the weights at the speed of memory measured beside it. */
  readonly bandwidthFraction?: number
  readonly normsPerToken?: number
  /** Against the same model without norms, in the same run. */
  readonly generationRatio?: number
  readonly foreignShare?: number
  /** Every repeat, in order. */
  readonly repeats?: readonly Repeat[]
}

/** What of a backend tells a measurement from another. */
type Place = Pick<OpenBackend & Described, "name" | "build" | "threads">

/** What is measured at once. */
export interface Unit {
  readonly row: PaperRow
  readonly config: DecoderConfig
  readonly dtype: WeightDType
  /** Every way of the norms that a table has of this model. */
  readonly norms: readonly NonNullable<PaperRow["norm"]>[]
}

function unitOf(row: PaperRow, table: PaperTable, { dtype }: TableOptions): Unit {
  const same = table.rows.filter(({ model, norm }) => norm && model === row.model)
  return {
    row,
    config: publishedConfig(row.model),
    dtype: row.bits === 4 ? "q4" : dtype,
    // First what the others are held against.
    norms: row.norm
      ? [...new Set(["none" as const, ...same.flatMap(({ norm }) => norm ?? [])])]
      : [],
  }
}

/** What names a measurement: one of the same key stands for it. */
const keyOf = ({ config, dtype, norms }: Unit, options: TableOptions, place: Place) => ({
  model: config.name,
  dtype,
  norms,
  backend: place.name,
  build: place.build,
  threads: place.threads ?? 1,
  cpu: machine().cpu,
  prompt: options.prompt,
  generate: options.generate,
  repeat: options.repeat,
})

/** What was kept of earlier runs, by key. */
function keptIn(folder: string): Map<string, KeptRow> {
  mkdirSync(folder, { recursive: true })
  const found = new Map<string, KeptRow>()
  for (const name of readdirSync(folder).filter((name) => /^unit-.*\.json$/.test(name))) {
    const kept = readKept(join(folder, name))
    if (kept.schema === "elm-bench-unit/1") found.set(JSON.stringify(kept.key), kept)
  }
  return found
}

/** Throws SyntaxError for a file that is not JSON. */
function readKept(path: string): KeptRow {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch (error) {
    throw new SyntaxError(`${path} is no row that was kept: ${(error as Error).message}`)
  }
}

async function keep(folder: string, kept: KeptRow): Promise<void> {
  const { model, dtype, norms } = kept.key as { model: string; dtype: string; norms: string[] }
  const name = `unit-${model}-${dtype}${norms.length > 0 ? "-norms" : ""}.json`
  const bytes = new TextEncoder().encode(`${JSON.stringify(kept, null, 2)}\n`)
  await writeFileWhole(join(folder, name), bytes)
}

type Found = Pick<KeptRow, "throughput" | "norms">

/** How a unit is measured. */
export type Measure = (unit: Unit, options: TableOptions, report: Report) => Promise<Found>

/** Measures on a backend: the model's throughput, or its norms in every way. */
export const measureOn =
  (backend: OpenBackend & Described): Measure =>
  async ({ row, config, dtype, norms }, { prompt, generate, repeat }, report) => {
    const lengths = { prompt, generate, repeat, dtype }
    if (norms.length > 0) {
      return { norms: await compareNorms({ config, kinds: norms }, backend, lengths, report) }
    }
    const options = { ...lengths, weights: undefined, cache: "f32", seed: 0 } as const
    const subject = { model: row.model, dtype }
    const { rows } = await benchThroughput(backend, [[subject]], options, report)
    return { throughput: rows[0] as ThroughputRow }
  }

/** What a unit is expected to take: the weights are read for every token of every repeat. */
const workOf = ({ config, dtype, norms }: Unit): number =>
  weightBytes(config, dtype) * Math.max(1, norms.length)

interface Work {
  readonly measure: Measure
  readonly report: Report
  /** Hears of every unit that is measured. */
  done(text: string): void
}

/** Measures the tables' rows, and gives a line for each. */
export async function runTables(
  tables: readonly PaperTable[],
  place: Place,
  options: TableOptions,
  { measure, report, done }: Work,
): Promise<TableLine[]> {
  const kept = keptIn(options.folder)
  const rows = tables.flatMap((table) =>
    table.rows.map((row) => {
      const unit = unitOf(row, table, options)
      return { table, unit, key: JSON.stringify(keyOf(unit, options, place)) }
    }),
  )
  const units = new Map(rows.map(({ key, unit }) => [key, unit]))
  const wanted = [...units].filter(
    ([key, unit]) => !misfit([unit], options.memoryBytes) && (options.again || !kept.has(key)),
  )
  let [work, seconds] = [0, 0]
  for (const [i, [key, unit]] of wanted.entries()) {
    const said: Report = (text, fraction) => report(`${unit.config.name}: ${text}`, fraction)
    const [start, foreign] = [performance.now(), watchForeign()]
    const measured = await measure(unit, options, said)
    const found: KeptRow = {
      ...{ schema: "elm-bench-unit/1", key: keyOf(unit, options, place), machine: machine() },
      measuredAt: new Date().toISOString(),
      seconds: (performance.now() - start) / 1000,
      foreignShare: foreign(),
      ...measured,
    }
    await keep(options.folder, found)
    kept.set(key, found)
    work += workOf(unit)
    seconds += found.seconds
    const left = wanted.slice(i + 1).reduce((sum, [, unit]) => sum + workOf(unit), 0)
    const minutes = Math.ceil((left * seconds) / work / 60)
    const busy =
      found.foreignShare > busyShare ? `, ${percentOf(found)} of it busy with other work` : ""
    const rest = left > 0 ? `; about ${minutes} minute${minutes === 1 ? "" : "s"} left` : ""
    done(`${unit.config.name} in ${unit.dtype}: ${found.seconds.toFixed(0)} s${busy}${rest}`)
  }
  return rows.map(({ table, unit, key }) => lineOf(table, unit, kept.get(key), options))
}

const percentOf = ({ foreignShare }: KeptRow): string => `${(100 * foreignShare).toFixed(0)} %`

function lineOf(
  table: PaperTable,
  unit: Unit,
  found: KeptRow | undefined,
  options: TableOptions,
): TableLine {
  const { row, config, dtype } = unit
  const norm = row.norm ? `, ${row.norm}` : ""
  const base = { table: table.name, label: `${config.name} ${dtype}${norm}`, paper: row.paper }
  if (!found) return { ...base, skipped: misfit([unit], options.memoryBytes) ?? "not measured" }
  const { foreignShare } = found
  const measured = row.norm ? found.norms?.find(({ norm }) => norm === row.norm) : found.throughput
  if (!measured) return { ...base, skipped: "not measured" }
  const rates = {
    prompt: measured.promptTokensPerSecond,
    generation: measured.generationTokensPerSecond,
    total: measured.totalTokensPerSecond,
  }
  const known = { ...base, rates, foreignShare, repeats: measured.repeats }
  if ("norm" in measured) {
    const { normsPerToken, generationRatio } = measured
    return { ...known, normsPerToken, generationRatio }
  }
  return { ...known, bandwidthFraction: measured.bandwidthFraction }
}
