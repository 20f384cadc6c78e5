// `elm bench scale`: what training on N machines like this one would come to, and how near such predictions are to
// what ranks of this machine do.
import { InvalidArgumentError } from "commander"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import type { Report } from "../../bench/measure/report.ts"
import { type CheckRow, checkRows } from "../../bench/scaling/check.ts"
import {
  type MeasuredUpdate,
  measureCopies,
  measureNetwork,
  measureUpdate,
  nodeOf,
  scaleCases,
} from "../../bench/scaling/measure.ts"
import type { Outlined } from "../../bench/scaling/paper.ts"
import type { Network, Node } from "../../bench/scaling/predict.ts"
import { type ScaleRow, scaleRows } from "../../bench/scaling/rows.ts"
import { bytesText, publishedConfig, threeDigits } from "../../model/index.ts"
import { type Communicator, meet } from "../../train/parallel/communicator.ts"
import { notNegative, usageError, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { choice, toggle, under, type ValuesOf, valued } from "../line/flags.ts"
import { openFor } from "../line/open.ts"
import { headings, json, machine, repeat, sizes } from "../line/options.ts"
import { asRank, beginRanks, isLaunched, processFlags, threadsOfRank } from "../line/ranks.ts"
import { checkAsRank, checkInTurns, isChecked } from "../line/scale_check.ts"
import { percent } from "../terminal/amounts.ts"
import { dim } from "../terminal/colour.ts"
import { measured } from "../terminal/output.ts"
import { reporter } from "../terminal/progress.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

const kinds = { none: "DDP", state: "state", full: "full" } as const
const seconds = (x: number): string => `${threeDigits(x)} s`

const table: TableOf<ScaleRow> = {
  title: "prediction",
  columns: [
    { name: "model", rank: 0, left: true, least: 12, text: ({ model }) => model },
    { name: "shard", rank: 0, left: true, text: ({ shard }) => kinds[shard] },
    { name: "nodes", rank: 0, text: ({ nodes }) => nodes },
    { name: "tok/s", rank: 0, text: (row) => threeDigits(row.tokensPerSecond) },
    { name: "% linear", rank: 1, text: (row) => percent(row.efficiency) },
    { name: "state of a rank", rank: 2, text: (row) => bytesText(row.stateBytes) },
    { name: "between", rank: 6, text: (row) => bytesText(row.activationBytes) },
    { name: "update", rank: 4, text: (row) => seconds(row.seconds.total) },
    { name: "copying", rank: 7, text: (row) => seconds(row.seconds.copying) },
    { name: "network", rank: 5, text: (row) => seconds(row.seconds.network) },
    { name: "sent", rank: 3, text: (row) => bytesText(Math.round(row.seconds.bytes)) },
  ],
}

const checkTable: TableOf<CheckRow> = {
  columns: [
    { name: "ranks", rank: 0, text: ({ size }) => size },
    { name: "threads", rank: 3, text: ({ threads }) => threads },
    { name: "shard", rank: 0, left: true, text: ({ shard }) => kinds[shard] },
    { name: "tok/s", rank: 0, text: (row) => threeDigits(row.tokensPerSecond) },
    { name: "of one process", rank: 1, text: (row) => `${row.ofOne.toFixed(3)} x` },
    { name: "predicted", rank: 2, text: (row) => threeDigits(row.predicted) },
    { name: "error", rank: 0, text: (row) => percent(row.error) },
    { name: "state of a rank", rank: 4, text: (row) => bytesText(row.stateBytes) },
    { name: "predicted state", rank: 5, text: (row) => bytesText(row.predictedStateBytes) },
  ],
}

const list =
  (least: number, most: number) =>
  (text: string): readonly number[] =>
    text.split(",").map(whole(least, most))

const { restarts: _, ...joined } = processFlags("measure what joins them", "")
const allSizes = ["270M", "450M", "1.1B", "3B"]

const flags = {
  ...under(headings.model, {
    model: sizes("sizes to predict", allSizes),
    dtype: choice("dtype of the weights", ["f32", "bf16"], "f32"),
    checkpointActivations: toggle("run each block again in the backward pass"),
  }),
  ...under(headings.measurement, {
    measure: choice(
      "what is computed to measure it, default 270M, with --check small-512",
      scaleCases.map(({ name }) => name),
    ),
    batch: valued("<n>", "rows of a micro-batch of the prediction", whole(1, 4096), 1),
    positions: valued("<n>", "positions of each", whole(1, 2 ** 20), 2048),
    accumulation: valued("<n>", "micro-batches of an update, of each node", whole(1, 2 ** 16), 1),
    nodes: valued(
      "<list>",
      "numbers of nodes, each a rank with all cores of one",
      list(1, 2 ** 16),
      [1, 2, 4, 8, 16, 32, 64, 128],
      "1,2,4,…,128",
    ),
    bandwidth: valued(
      "<Gbit/s>",
      "of a node's link, each way; default what ranks measure, else 10",
      positive,
    ),
    latency: valued("<µs>", "of a call of all; default what ranks measure, else 50", notNegative),
    repeat: repeat("updates measured of each kind", 3),
    check: toggle("runs of --ranks on this machine, begun with mpirun, beside their prediction"),
    ranks: valued("<list>", "with --check: numbers of ranks", list(1, 256), [1, 2, 4], "1,2,4"),
    rounds: valued("<n>", "with --check: how often each, in turns", whole(1, 100), 1),
  }),
  ...machine,
  ...joined,
  ...json,
}
type Flags = ValuesOf<typeof flags>

function positive(text: string): number {
  const value = notNegative(text)
  if (value > 0) return value
  throw new InvalidArgumentError("Expected a number above 0.")
}

export const scale = command({
  name: "scale",
  description: "predict training on N machines like this one, by what it computes and carries",
  flags,
  after:
    "Examples:\n" +
    "  elm bench scale --bandwidth 100 --latency 5\n" +
    "  elm bench scale --processes 2 --model 270M,3B --dtype bf16\n" +
    "  elm bench scale --check\n" +
    "  elm bench scale --check --measure 270M --ranks 1,2 --rounds 3",
  tables: [table, checkTable],
  async run(given, { given: typed }) {
    const idle = given.check
      ? typed("model", "batch", "positions", "nodes")
      : typed("ranks", "rounds")
    if (idle) throw usageError(`${idle} has no effect ${given.check ? "with" : "without"} --check`)
    const most = Math.max(...given.ranks)
    if (given.ranks.some((size) => most % size !== 0)) {
      throw usageError(`--ranks ${given.ranks}: ${most} micro-batches must share out to each`)
    }
    if (given.check && !isChecked()) return check(given)
    const standing = async (): Promise<string> => "Nothing was predicted"
    if (given.processes && !isLaunched()) {
      return beginRanks(given.processes, { ...given, restarts: 0 }, standing)
    }
    return asRank(
      { ...given, restarts: 0 },
      async (ranks) => {
        const report = reporter()
        if (given.check)
          return checkAsRank(taskOf(given), given, ranks, report).finally(report.done)
        await predict(given, ranks)
      },
      standing,
    )
  },
})

/** What is measured. */
function taskOf({ measure, check, dtype, checkpointActivations }: Flags): Outlined {
  const name = measure ?? (check ? "small-512" : "270M")
  const { config, B, T } = scaleCases.find((each) => each.name === name) as (typeof scaleCases)[0]
  return { config, B, T, dtype, checkpointActivations: checkpointActivations === true }
}

/** Runs of several numbers of ranks, and their prediction. */
const check = (given: Flags): Promise<void> =>
  measured(
    given,
    async (report) => {
      const all = await checkInTurns(given, Object.assign(report, { done() {} }))
      await using backend = await openFor(given)
      const rows = await checkRows(taskOf(given), all, Math.max(...given.ranks), backend)
      return { all, rows }
    },
    ({ all, rows }) => ({
      text: tableText(checkTable, rows),
      json: { schema: "elm-bench-scale-check/1", machine: thisMachine(), rows, measured: all },
    }),
  )

/** Measures as all ranks together, and has the first predict. */
async function predict(given: Flags, ranks: Communicator): Promise<void> {
  const task = taskOf(given)
  const { repeat } = given
  const { threads = threadsOfRank(ranks).threads } = given
  await using backend = await openFor({ ...given, ...(threads !== undefined && { threads }) })
  const measure = async (report: Report) => {
    const update = await measureUpdate(task, { backend, repeat, report, meet: () => meet(ranks) })
    const node = nodeOf(update, await measureCopies(backend, repeat))
    const found = ranks.size > 1 ? await measureNetwork(ranks, 4 * repeat) : undefined
    return { update, node, network: networkOf(given, found), found }
  }
  if (ranks.rank > 0) return void (await measure(() => {}))
  await measured(
    given,
    async (report) => {
      const all = await measure(report)
      const { batch: B, positions: T, accumulation: rounds, nodes } = given
      const configs = given.model.map(publishedConfig)
      const asked = { ...task, B, T, rounds, nodes, configs, ...all }
      return { ...all, rows: await scaleRows(asked, backend, report) }
    },
    (all) => ({
      text: [tableText(table, all.rows), ...notesOf(all)].join("\n"),
      json: { schema: "elm-bench-scale/1", isPrediction: true, machine: thisMachine(), ...all },
    }),
  )
}

/** What was typed, else what ranks measured. */
function networkOf({ bandwidth, latency }: Flags, found: Network | undefined): Network {
  return {
    bandwidth: bandwidth === undefined ? (found?.bandwidth ?? 1.25e9) : bandwidth * 1.25e8,
    latency: latency === undefined ? (found?.latency ?? 50e-6) : latency * 1e-6,
  }
}

interface Measured {
  readonly update: MeasuredUpdate
  readonly node: Node
  readonly network: Network
}

/** Where the numbers come from. */
function notesOf({ update, node, network }: Measured): string[] {
  const { tokens, parameters, forward, backward } = update
  const rate = (time: number): string => `${threeDigits(tokens / time)} tok/s`
  const gigabytes = (x: number): string => `${threeDigits(x / 1e9)} GB/s`
  return [
    `measured here: forward ${rate(forward)}, backward ${rate(backward)}, update of ` +
      `${threeDigits(parameters / 1e6)} M numbers ${seconds(update.update)}; gradients summed at ` +
      `${gigabytes(node.summedPerSecond)}, weights gathered at ${gigabytes(node.gatheredPerSecond)}`,
    `network: ${gigabytes(network.bandwidth)} each way, ${threeDigits(network.latency * 1e6)} µs a call`,
    "A prediction by the formulas of docs/bench.md; --check says how near such ones are here",
  ].map(dim)
}
