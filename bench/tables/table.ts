// Runs the paper's tables: every row that fits this machine, one after the other. What is measured is
// kept in a folder, a file for each model and dtype, and not measured again.
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join } from "node:path"
import type { OpenBackend } from "../../backends/index.ts"
import {
  type DecoderConfig,
  parameterCount,
  publishedConfig,
  type WeightDType,
  writeFileWhole,
} from "../../model/index.ts"
import type { Described } from "../measure/described.ts"
import { busyShare, watchForeign } from "../measure/foreign.ts"
import { type Machine, machine } from "../measure/machine.ts"
import { compareNorms, type NormRow } from "../measure/norms.ts"
import type { Report } from "../measure/report.ts"
import { benchThroughput, type ThroughputRow } from "../measure/throughput.ts"
import type { PaperRow, PaperTable, Throughput } from "./paper.ts"

export interface TableOptions {
  /** Of the rows of 16 bits. */
  readonly dtype: WeightDType
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
  /** Where what is measured is kept. */
  readonly folder: string
  /** Measures what is kept too. */
  readonly again?: boolean
}

/** What one unit of work gives: a model in a dtype, or a model with its norms in every way. */
interface Kept {
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
}

interface Unit {
  readonly row: PaperRow
  readonly config: DecoderConfig
  readonly dtype: WeightDType
  /** Every way of the norms that a table has of this model. */
  readonly norms: readonly NonNullable<PaperRow["norm"]>[]
}

/** Bytes of a weight, near enough to plan by. */
const bytesOf: Readonly<Record<WeightDType, number>> = { f32: 4, f16: 2, bf16: 2, q8: 1.07, q4: 0.57 }

/** Share of the machine's memory that a model may take. */
const mostMemory = 0.6

function unitOf(row: PaperRow, table: PaperTable, { dtype }: TableOptions): Unit {
  const same = table.rows.filter(({ model, norm }) => norm && model === row.model)
  return {
    row,
    config: publishedConfig(row.model),
    dtype: row.bits === 4 ? "q4" : dtype,
    // First what the others are held against.
    norms: row.norm ? [...new Set(["none" as const, ...same.flatMap(({ norm }) => norm ?? [])])] : [],
  }
}

/** What names a measurement: one of the same key stands for it. */
const keyOf = ({ config, dtype, norms }: Unit, options: TableOptions, backend: OpenBackend & Described) => ({
  model: config.name,
  dtype,
  norms,
  backend: backend.name,
  build: backend.build,
  threads: backend.threads ?? 1,
  cpu: machine().cpu,
  prompt: options.prompt,
  generate: options.generate,
  repeat: options.repeat,
})

/** Reason why a model is left out, if there is one. */
function misfit({ config, dtype }: Unit): string | undefined {
  const bytes = parameterCount(config) * bytesOf[dtype]
  const most = totalmem() * mostMemory
  if (bytes <= most) return undefined
  const gb = (n: number) => `${(n / 1e9).toFixed(1)} GB`
  return `${gb(bytes)} of weights, more than ${gb(most)}, which is ${mostMemory} of this machine's memory`
}

/** What was kept of earlier runs, by key. */
function keptIn(folder: string): Map<string, Kept> {
  mkdirSync(folder, { recursive: true })
  const found = new Map<string, Kept>()
  for (const name of readdirSync(folder).filter((name) => /^unit-.*\.json$/.test(name))) {
    const kept = JSON.parse(readFileSync(join(folder, name), "utf8")) as Kept
    if (kept.schema === "elm-bench-unit/1") found.set(JSON.stringify(kept.key), kept)
  }
  return found
}

async function keep(folder: string, kept: Kept): Promise<void> {
  const { model, dtype, norms } = kept.key as { model: string; dtype: string; norms: string[] }
  const name = `unit-${model}-${dtype}${norms.length > 0 ? "-norms" : ""}.json`
  const bytes = new TextEncoder().encode(`${JSON.stringify(kept, null, 2)}\n`)
  await writeFileWhole(join(folder, name), bytes)
}

async function measure(
  unit: Unit,
  backend: OpenBackend & Described,
  options: TableOptions,
  report: Report,
): Promise<Kept> {
  const { row, config, dtype, norms } = unit
  const { prompt, generate, repeat } = options
  const [start, foreign] = [performance.now(), watchForeign()]
  const lengths = { prompt, generate, repeat, dtype }
  const found =
    norms.length > 0
      ? { norms: await compareNorms({ config, kinds: norms }, backend, lengths, report) }
      : {
          throughput: (
            await benchThroughput(
              backend,
              [row.model],
              { ...lengths, weights: undefined, cache: "f32", seed: 0 },
              report,
            )
          ).rows[0],
        }
  return {
    schema: "elm-bench-unit/1",
    key: keyOf(unit, options, backend),
    machine: machine(),
    measuredAt: new Date().toISOString(),
    seconds: (performance.now() - start) / 1000,
    foreignShare: foreign(),
    ...found,
  }
}

/** What a unit is expected to take: the weights are read for every token of every repeat. */
const workOf = ({ config, dtype, norms }: Unit): number =>
  parameterCount(config) * bytesOf[dtype] * Math.max(1, norms.length)

/** Measures the tables' rows, and gives a line for each. `done` hears of every unit that is measured. */
export async function runTables(
  tables: readonly PaperTable[],
  backend: OpenBackend & Described,
  options: TableOptions,
  report: Report,
  done: (text: string) => void,
): Promise<TableLine[]> {
  const kept = keptIn(options.folder)
  const rows = tables.flatMap((table) => table.rows.map((row) => ({ table, row })))
  const units = new Map<string, Unit>()
  for (const { table, row } of rows) {
    const unit = unitOf(row, table, options)
    units.set(JSON.stringify(keyOf(unit, options, backend)), unit)
  }
  const wanted = [...units].filter(([key, unit]) => !misfit(unit) && (options.again || !kept.has(key)))
  let left = wanted.reduce((sum, [, unit]) => sum + workOf(unit), 0)
  let [work, seconds] = [0, 0]
  for (const [key, unit] of wanted) {
    const said: Report = (text, fraction) => report(`${unit.config.name}: ${text}`, fraction)
    const found = await measure(unit, backend, options, said)
    await keep(options.folder, found)
    kept.set(key, found)
    work += workOf(unit)
    seconds += found.seconds
    left -= workOf(unit)
    const minutes = ((left * seconds) / work / 60).toFixed(0)
    const busy = found.foreignShare > busyShare ? `, ${percentOf(found)} of it busy with other work` : ""
    done(
      `${unit.config.name} in ${unit.dtype}: ${found.seconds.toFixed(0)} s${busy}; ` +
        `about ${minutes} minutes left`,
    )
  }
  return rows.map(({ table, row }) => lineOf(table, row, options, backend, kept))
}

const percentOf = ({ foreignShare }: Kept): string => `${(100 * foreignShare).toFixed(0)} %`

function lineOf(
  table: PaperTable,
  row: PaperRow,
  options: TableOptions,
  backend: OpenBackend & Described,
  kept: ReadonlyMap<string, Kept>,
): TableLine {
  const unit = unitOf(row, table, options)
  const { config, dtype } = unit
  const norm = row.norm ? `, ${row.norm}` : ""
  const base = { table: table.name, label: `${config.name} ${dtype}${norm}`, paper: row.paper }
  const found = kept.get(JSON.stringify(keyOf(unit, options, backend)))
  if (!found) return { ...base, skipped: misfit(unit) ?? "not measured" }
  const { foreignShare } = found
  const measured = row.norm ? found.norms?.find(({ norm }) => norm === row.norm) : found.throughput
  if (!measured) return { ...base, skipped: "not measured" }
  const rates = {
    prompt: measured.promptTokensPerSecond,
    generation: measured.generationTokensPerSecond,
    total: measured.totalTokensPerSecond,
  }
  if ("norm" in measured) {
    const { normsPerToken, generationRatio } = measured
    return { ...base, rates, foreignShare, normsPerToken, generationRatio }
  }
  return { ...base, rates, foreignShare, bandwidthFraction: measured.bandwidthFraction }
}
