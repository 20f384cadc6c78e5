// `elm bench ops`: the time of every op case, with its bytes, multiply-adds and share of the ceiling.
import Benchmark from "benchmark"
import { Table } from "console-table-printer"
import {
  allocate,
  type Backend,
  bufferOf,
  type Call,
  type Case,
  encode,
  type Op,
  type Plan,
  plan,
  type Tensor,
  type TypedArray,
  type Update,
} from "../engine/index.ts"
import { allOps } from "../ops/index.ts"
import { caseName, recordCase } from "./cases.ts"
import { CeilingMeter, type Ceilings } from "./ceiling.ts"
import { inColour } from "./colour.ts"
import { type BackendFlags, type Described, openFor } from "./open.ts"
import { reporter } from "./progress.ts"

interface OpsFlags extends BackendFlags {
  readonly filter?: string
  /** In place of the ops' own cases. */
  readonly sizes?: readonly Case[]
}

/** Seconds of sampling for each case. */
const maxTime = 0.1

export async function benchOps(flags: OpsFlags): Promise<void> {
  const ops = chosen(flags.filter)
  await using backend = await openFor(flags)
  const meter = await CeilingMeter.open(backend)
  const { ceilings } = meter
  meter.close()
  const columns = ["case", "µs", "±", "GB/s", "% bandwidth", "GFLOP/s", "% mul-add"].map(
    (name, i) => ({
      name,
      alignment: i === 0 ? ("left" as const) : ("right" as const),
    }),
  )
  const report = reporter()
  const out = new Table({ columns, shouldDisableColors: !inColour })
  for (const op of ops.filter((o) => !o.view && backend.has(o.name))) {
    for (const test of flags.sizes ?? op.cases) {
      const label = caseName(op, test)
      report(label)
      out.addRow(await row(label, recordCase(op, test), backend, ceilings))
    }
  }
  report.done()
  console.log(out.render())
}

function chosen(filter: string | undefined): readonly Op[] {
  if (filter === undefined) return allOps
  return filter.split(",").map((name) => {
    const op = allOps.find((o) => o.name === name)
    if (op) return op
    throw new RangeError(`unknown op ${name}. There are: ${allOps.map((o) => o.name).join(", ")}`)
  })
}

/** Nothing where there is no time to go by. */
const digits = (x: number, n: number): string => (Number.isNaN(x) ? "" : x.toFixed(n))

async function row(label: string, call: Call, backend: Backend & Described, ceilings: Ceilings) {
  const { seconds, error } = await time(call, backend)
  const { bytes, flops } = call.op.cost(call.params)
  const [memory, compute] = [bytes / seconds, flops / seconds]
  return {
    case: label,
    µs: Number.isNaN(seconds) ? "no timestamps" : (seconds * 1e6).toFixed(2),
    "±": Number.isNaN(error) ? "" : `${error.toFixed(0)} %`,
    "GB/s": digits(memory / 1e9, 2),
    "% bandwidth": digits(100 * (memory / ceilings.bytesPerSecond), 0),
    "GFLOP/s": digits(compute / 1e9, 2),
    "% mul-add": digits(100 * (compute / ceilings.flopsPerSecond), 0),
  }
}

/** Seconds of one run of the call alone, its inputs in device memory, and the margin of error in %. */
async function time(
  call: Call,
  backend: Backend & Described,
): Promise<{ seconds: number; error: number }> {
  const inputs = call.inputs.map((x) => upload(x, backend))
  const bound = call.op.record(inputs, call.attrs)
  const updates = bound.outputs.map((y, i): Update => {
    const taken = bound.op.inputs.indexOf(bound.op.alias[bound.op.outputs[i] as string] ?? "")
    return [inputs[taken] ?? allocate(backend, y.shape, y.dtype), y]
  })
  try {
    const recorded = plan(updates, backend)
    return await (backend.profile ? onDevice(backend, recorded) : onProcessor(backend, recorded))
  } finally {
    for (const tensor of new Set([...inputs, ...updates.map(([target]) => target)])) {
      bufferOf(tensor).free()
    }
  }
}

function onProcessor(backend: Backend, recorded: Plan) {
  const prepared = backend.prepare(recorded)
  try {
    const { stats, error } = new Benchmark({
      fn: () => prepared.run(),
      maxTime,
      minSamples: 5,
    }).run()
    if (error) throw error
    return { seconds: stats?.mean ?? Number.NaN, error: stats?.rme ?? Number.NaN }
  } finally {
    prepared.close()
  }
}

/** By the device's own clock: medians of few runs have no margin of error. */
async function onDevice(backend: Described, recorded: Plan) {
  const dispatches = (await backend.profile?.(recorded, 9)) ?? []
  const times = dispatches.map(({ microseconds }) => microseconds ?? Number.NaN)
  return { seconds: times.reduce((sum, us) => sum + us, 0) / 1e6, error: Number.NaN }
}

function upload(x: Tensor, backend: Backend): Tensor {
  const target = allocate(backend, x.shape, x.dtype)
  const { data } = x.origin as { readonly data: TypedArray }
  const raw = data instanceof Float64Array ? encode(x.dtype, data) : data
  backend.write(bufferOf(target), raw)
  return target
}
