// Reverse-mode differentiation: walks the calls backwards and records more calls. An op without a
// hand-written vjp is differentiated through its meaning, down to the plain ops.
import { checkTensor, checkTensors } from "./check.ts"
import { identity } from "./identity.ts"
import type { Call, Maybe, Op } from "./op.ts"
import { addOp } from "./plain.ts"
import { constant, type Tensor } from "./tensor.ts"

/**
 * Gradients of a scalar with respect to tensors, as new tensors of their shapes.
 * A tensor that the loss does not depend on gets zeros. Throws RangeError for a loss that is not
 * one f32 number, TypeError naming the op when one cannot be differentiated.
 */
export function grad<const T extends readonly Tensor[]>(loss: Tensor, wrt: T): Tensors<T> {
  checkTensor("grad: the loss", loss)
  checkTensors("grad: the list of tensors", wrt)
  if (loss.size !== 1 || loss.dtype !== "f32") {
    throw new RangeError(`grad: the loss must be one f32 number, got ${loss}`)
  }
  const one = constant([1], loss.shape)
  return vjp([loss], [one], wrt).map((d, i) => d ?? zerosLike(wrt[i] as Tensor)) as Tensors<T>
}

/** A tensor for each of a list, as a tuple where the list is one. */
export type Tensors<T extends readonly Tensor[]> = { -readonly [I in keyof T]: Tensor }

/** Cotangents of `wrt` given cotangents of `outputs`; undefined where nothing flows. */
export function vjp(
  outputs: readonly Tensor[],
  cotangents: readonly Maybe[],
  wrt: readonly Tensor[],
): Maybe[] {
  return propagate(outputs, cotangents, wrt, true)
}

/** The same of a part of a graph that begins at `wrt`: where one of these depends on another, what flows
 *  between them is not of this part. */
export function vjpFrom(
  wrt: readonly Tensor[],
  outputs: readonly Tensor[],
  cotangents: readonly Maybe[],
): Maybe[] {
  return propagate(outputs, cotangents, wrt, false)
}

/**
 * Cotangents of the inputs of a function of tensors, for use inside the definition of an op: nothing
 * that the inputs themselves come from is looked at. Undefined where nothing flows.
 */
export function vjpOf<const T extends readonly Tensor[]>(
  f: (...inputs: T) => readonly Tensor[],
  inputs: T,
  cotangents: readonly Maybe[],
): { -readonly [I in keyof T]: Maybe } {
  const leaves = inputs.map(identity) as unknown as T
  return propagate(f(...leaves), cotangents, leaves, false) as { -readonly [I in keyof T]: Maybe }
}

/** With `through`, `wrt` may depend on each other; without, nothing before them is looked at. */
function propagate(
  outputs: readonly Tensor[],
  cotangents: readonly Maybe[],
  wrt: readonly Tensor[],
  through: boolean,
): Maybe[] {
  const found = new Map<Tensor, Tensor>()
  outputs.forEach((y, i) => {
    accumulate(found, y, cotangents[i])
  })
  for (const call of callsBetween(outputs, wrt, through).reverse()) {
    const given = call.outputs.map((y) => found.get(y))
    if (given.every((d) => d === undefined)) continue
    const results = vjpOfCall(call, given)
    call.inputs.forEach((x, i) => {
      accumulate(found, x, results[i])
    })
  }
  return wrt.map((x) => found.get(x))
}

function vjpOfCall(call: Call, given: readonly Maybe[]): readonly Maybe[] {
  const results = call.op.vjp?.(call, given) ?? derivedVjp(call, given)
  if (results) return results
  throw new TypeError(`grad: ${call.op.name} has neither a vjp nor a meaning to derive one from`)
}

/** The vjp through the op's meaning, with any hand-written one of the op itself left aside. */
export function derivedVjp(call: Call, given: readonly Maybe[]): Maybe[] | undefined {
  const { meaning }: Op = call.op
  if (!meaning) return undefined
  // A leaf for each slot: one tensor may be in two of them.
  return vjpOf((...inputs) => meaning({ ...call, inputs }), call.inputs, given)
}

/** Calls on a path from `wrt` to `outputs`, in recording order. */
function callsBetween(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  through: boolean,
): Call[] {
  const wanted = new Set(wrt)
  /** Whether a tensor is wanted or depends on one that is. */
  const reached = new Map<Tensor, boolean>()
  const calls = new Set<Call>()
  // Iterative depth-first search: graphs are deeper than the call stack is long.
  const stack = [...outputs]
  while (stack.length > 0) {
    const tensor = stack.at(-1) as Tensor
    const leaf = tensor.origin.kind !== "call" || (!through && wanted.has(tensor))
    if (reached.has(tensor) || leaf) {
      if (!reached.has(tensor)) reached.set(tensor, wanted.has(tensor))
      stack.pop()
      continue
    }
    const { call } = tensor.origin as { call: Call }
    const unseen = call.inputs.filter((x) => !reached.has(x))
    if (unseen.length > 0) {
      stack.push(...unseen)
      continue
    }
    const open = call.inputs.some((x) => reached.get(x))
    if (open) calls.add(call)
    for (const y of call.outputs) reached.set(y, open || wanted.has(y))
    stack.pop()
  }
  return [...calls].sort((a, b) => a.id - b.id)
}

function accumulate(found: Map<Tensor, Tensor>, x: Tensor, d: Maybe): void {
  if (d === undefined || x.dtype === "i32") return
  if (d.shape.length !== x.shape.length || d.shape.some((n, i) => n !== x.shape[i])) {
    throw new RangeError(`grad: the cotangent of ${x} has the shape of ${d}`)
  }
  const before = found.get(x)
  found.set(x, before ? (addOp.record([before, d], {}).outputs[0] as Tensor) : d)
}

const zerosLike = (x: Tensor): Tensor => constant(new Float32Array(x.size), x.shape)
