// `elm bench ops`: the time of every op case, with its bytes, multiply-adds and share of the ceiling.
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
} from "../../engine/index.ts"
import { caseName, recordCase } from "./cases.ts"
import { CeilingMeter, type Ceilings } from "./ceiling.ts"
import type { Described } from "./described.ts"
import type { Report } from "./report.ts"

interface OpCases {
  readonly op: Op
  readonly tests: readonly Case[]
}

export interface OpRow {
  readonly case: string
  /** Of one run; undefined on a GPU without timestamps, as all that follows from it. */
  readonly microseconds: number | undefined
  /** Margin of error, where there is a sample to have one. */
  readonly errorFraction: number | undefined
  readonly bytesPerSecond: number | undefined
  readonly bandwidthFraction: number | undefined
  readonly flopsPerSecond: number | undefined
  readonly flopsFraction: number | undefined
}

/** Seconds of sampling for each case. */
const maxTime = 0.1

/** A row for each case of the ops that the backend has a kernel of. */
export async function benchOps(
  backend: Backend & Described,
  cases: readonly OpCases[],
  report: Report,
): Promise<OpRow[]> {
  const meter = await CeilingMeter.open(backend)
  // Products of quantized weights multiply whole numbers.
  const whole = meter.over([], "whole")
  const ceilings = { floats: meter.ceilings, whole: await whole.measure() }
  whole.close()
  meter.close()
  const rows: OpRow[] = []
  for (const { op, tests } of cases.filter(({ op }) => backend.has(op.name))) {
    for (const test of tests) {
      const label = caseName(op, test)
      report(label)
      const call = recordCase(op, test)
      const isWhole = op.isProduct && call.inputs.some(({ dtype }) => dtype === "u8")
      rows.push(await measure(label, call, backend, ceilings[isWhole ? "whole" : "floats"]))
    }
  }
  return rows
}

async function measure(
  label: string,
  call: Call,
  backend: Backend & Described,
  ceilings: Ceilings,
): Promise<OpRow> {
  const { seconds, error } = await time(call, backend)
  const { bytes, flops } = call.op.cost(call.params)
  const known = (x: number): number | undefined => (Number.isNaN(x) ? undefined : x)
  return {
    case: label,
    microseconds: known(seconds * 1e6),
    errorFraction: known(error / 100),
    bytesPerSecond: known(bytes / seconds),
    bandwidthFraction: known(bytes / seconds / ceilings.bytesPerSecond),
    flopsPerSecond: known(flops / seconds),
    flopsFraction: known(flops / seconds / ceilings.flopsPerSecond),
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

async function onProcessor(backend: Backend, recorded: Plan) {
  // Large, and of no use to those who measure something else.
  const { default: Benchmark } = await import("benchmark")
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
