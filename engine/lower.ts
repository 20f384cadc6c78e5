// Chooses, call by call, between a backend's kernel and the op's meaning, or another one that the
// backend has all kernels for, and drops what nothing needs. The result uses only kernels that the backend has.
import type { Backend } from "./backend.ts"
import { type Call, newCall } from "./op.ts"
import type { Tensor } from "./tensor.ts"

type Kernels = Pick<Backend, "name" | "has">

/** Of each stage the calls that compute its values and that none before it makes, in recording order, and
 *  the values among their outputs. */
export function lower(
  stages: readonly (readonly Tensor[])[],
  backend: Kernels,
): { calls: readonly Call[]; values: readonly Tensor[] }[] {
  const lowered = new Map<Tensor, Tensor>()
  const made = new Set<Call>()
  return stages.map((given) => {
    lowerInto(lowered, given, backend)
    const values = given.map((x) => lowered.get(x) ?? x)
    const calls = callsFor(values).filter((call) => !made.has(call))
    for (const call of calls) made.add(call)
    return { calls, values }
  })
}

/** Lowers what `values` need and is not yet in the map. New calls come in recording order. */
function lowerInto(
  lowered: Map<Tensor, Tensor>,
  values: readonly Tensor[],
  backend: Kernels,
): void {
  const now = (x: Tensor): Tensor => lowered.get(x) ?? x
  for (const call of callsFor(values, lowered)) {
    const { op, outputs, attrs, params } = call
    const current = newCall(op, call.inputs.map(now), outputs, attrs, params)
    let results = current.outputs
    if (!op.view && !backend.has(op.name)) {
      const meaning = meaningOf(current, backend)
      lowerInto(lowered, meaning, backend)
      results = meaning.map(now)
    }
    outputs.forEach((y, i) => {
      const result = results[i] as Tensor
      lowered.set(y, result).set(result, result)
    })
  }
}

function meaningOf(call: Call, backend: Kernels): readonly Tensor[] {
  const { alternatives, meaning } = call.op
  const other = alternatives.find(
    ({ ops, when }) => ops.every(({ name }) => backend.has(name)) && when(call.params),
  )
  if (other) return other.meaning(call)
  if (meaning) return meaning(call)
  throw new Error(
    `${backend.name} has no kernel ${call.op.name}, and a plain op has no other meaning. ` +
      "Give the backend this kernel",
  )
}

/** Every call that the tensors depend on, down to tensors in `known`, in recording order. */
function callsFor(tensors: readonly Tensor[], known?: ReadonlyMap<Tensor, Tensor>): Call[] {
  const calls = new Set<Call>()
  const open = [...tensors]
  for (let tensor = open.pop(); tensor; tensor = open.pop()) {
    if (tensor.origin.kind !== "call" || known?.has(tensor) || calls.has(tensor.origin.call))
      continue
    calls.add(tensor.origin.call)
    open.push(...tensor.origin.call.inputs)
  }
  return [...calls].sort((a, b) => a.id - b.id)
}
