// Cases of an op for every size from one number to two panels and three more: the widths at which
// vectors, panels, blocks and tiles of kernels end. Made from the op's own cases, one size at a time.
import { outlineCase, recordCase } from "../bench/measure/cases.ts"
import {
  type Backend,
  bound,
  bufferOf,
  type Call,
  type Case,
  type DType,
  decode,
  type Op,
  runOnce,
  type Tensor,
  type Update,
  viewOf,
} from "../engine/index.ts"
import { panelWidth } from "../ops/index.ts"
import { oracle, reportOutput } from "./cases.ts"
import { limitOf, tolerance } from "./tolerance.ts"

/** Capital parameters that are no sizes: layouts, ways, seeds. */
const modes = ["Z", "Halves", "Search", "Padding", "Seed", "Stream", "Count", "Lanes"]
const isSize = (name: string): boolean => /^[A-Z]\d?$/.test(name) && !modes.includes(name)

/** What sizes are while another goes through its tails: neither one vector nor one panel. */
const others: Readonly<Record<string, number>> = { B: 2, T: 5, H: 4, G: 2 }
const small = 18
/** Sequences and heads: no kernel has vectors of them. */
const few: Readonly<Record<string, number>> = { B: 5, H: 9, G: 5 }
/** Two panels and three; where numbers lie in blocks of 32 beside each other, two of them and three. */
const lastOf = ({ C, E, H }: Case, name: string): number => {
  if ((name === "K" || name === "D") && C !== undefined) return 67
  return ((E ?? H) !== undefined && few[name]) || 2 * panelWidth + 3
}

/** The smallest case of each dtype and mode of an op. */
function templatesOf(op: Op): Case[] {
  const found = new Map<string, Case>()
  const elements = (test: Case) => outlineCase(op, test).inputs.reduce((sum, x) => sum + x.size, 0)
  for (const test of op.cases) {
    const isWay = ([name, value]: [string, unknown]) =>
      modes.includes(name) || typeof value === "string" || name === "controls"
    const key = JSON.stringify(Object.entries(test).filter(isWay))
    const known = found.get(key)
    if (!known || elements(test) < elements(known)) found.set(key, test)
  }
  return [...found.values()]
}

/** The case if it can be recorded, or with one other size put right: panels, blocks, heads. */
function fitted(op: Op, given: Case, kept: readonly string[]): Case | undefined {
  const free = Object.keys(given).filter((key) => isSize(key) && !kept.includes(key))
  const test = { ...given, ...lengthsFor(given, free) }
  if (isValid(op, test)) return test
  for (const name of free) {
    for (let value = 1; value <= 40; value++) {
      const changed = { ...test, [name]: value }
      if (isValid(op, changed)) return changed
    }
  }
  return undefined
}

/** Caches and angles long enough for the positions that are read. */
function lengthsFor({ B = 1, T = 1, S, C, E }: Case, free: readonly string[]): Case {
  const most = (T as number) + (B as number)
  const long = { S: Math.max(Number(S), most), C: Math.max(Number(C), Number(S ?? most), most) }
  return Object.fromEntries(
    Object.entries(long).filter(([name]) => free.includes(name) && E !== undefined),
  )
}

function isValid(op: Op, test: Case): boolean {
  const { B = 1, T = 1, S = 2 ** 30, C = 2 ** 30, E } = test as Record<string, number>
  // Where C counts positions and not the blocks of quantized rows.
  if (E !== undefined && (S < T + B - 1 || C < Number(test.S ?? T))) return false
  // Thousands of refusals: where each was thrown would take most of the time here.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    outlineCase(op, test)
    return true
  } catch {
    return false
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** A case with the sizes that the sweep of one other leaves as they are. */
function typical(op: Op, test: Case): Case {
  let result = test
  const names = Object.keys(test).filter(isSize)
  for (const [i, name] of names.entries()) {
    const changed = { ...result, [name]: others[name] ?? small }
    result = fitted(op, changed, names.slice(0, i + 1)) ?? fitted(op, changed, [name]) ?? result
  }
  return result
}

/** Cases in lists that run together: one size after another through all tails, and with `pairs`
 *  every two sizes through every two tails. */
export function* tailsOf(op: Op, pairs = false): Generator<Case[]> {
  for (const template of templatesOf(op)) {
    const base = typical(op, template)
    const names = Object.keys(base).filter(isSize)
    for (const [i, name] of names.entries()) {
      yield* series(op, base, name)
      if (!pairs) continue
      for (const other of names.slice(i + 1)) {
        for (let n = 1; n <= lastOf(base, other); n++) {
          const changed = fitted(op, { ...base, [other]: n }, [other, name])
          if (changed) yield* series(op, changed, name, [other])
        }
      }
    }
  }
}

function* series(op: Op, base: Case, name: string, kept: string[] = []): Generator<Case[]> {
  const tests: Case[] = []
  for (let n = 1; n <= lastOf(base, name); n++) {
    const test = fitted(op, { ...base, [name]: n }, [name, ...kept])
    if (test) tests.push(positioned(test))
  }
  if (tests.length > 0) yield tests
}

/** With positions inside the cache, where a case gives them. */
function positioned(test: Case): Case {
  const { position, B, S } = test as { position?: unknown } & Record<"B" | "S", number>
  if (position === undefined) return test
  return { ...test, position: Array.from({ length: B }, (_, i) => (7 * i + S - 1) % S) }
}

const guardBytes = 64
const guard = 0xa5

/** A case with its right values. */
export interface Known {
  readonly test: Case
  readonly call: Call
  readonly values: readonly Float64Array[]
}

export async function knownOf(op: Op, tests: readonly Case[]): Promise<Known[]> {
  const calls = tests.map((test) => recordCase(op, test))
  const all = await oracle(calls.flatMap(({ outputs }) => outputs))
  return calls.map((call, i) => ({
    test: tests[i] as Case,
    call,
    values: all.splice(0, call.outputs.length),
  }))
}

/** What is wrong with a backend's values of calls that run in one plan, one text for each call.
 *  Nothing may be written after an output either. */
export async function errorsOf(backend: Backend, known: readonly Known[]): Promise<string[]> {
  const targets = known.map(({ call }) => call.outputs.map((y) => guarded(backend, y)))
  const updates = known.flatMap(({ call }, i) =>
    call.outputs.map((y, o): Update => [(targets[i] as Tensor[])[o] as Tensor, y]),
  )
  try {
    await runOnce(backend, updates)
    return await Promise.all(known.map((each, i) => errorOf(backend, each, targets[i] as Tensor[])))
  } finally {
    for (const target of targets.flat()) bufferOf(target).free()
  }
}

/** A row that is rounded to 8 bits, of few numbers and into few outputs: rounding is more of them. */
const limitAt = (call: Call, dtype: DType, backend: string): number => {
  const limit = limitOf(call, dtype, backend)
  return limit > tolerance[dtype] ? 0.1 : limit
}

async function errorOf(backend: Backend, { call, values }: Known, targets: readonly Tensor[]) {
  const found: string[] = []
  for (const [o, target] of targets.entries()) {
    const raw = await backend.read(bufferOf(target))
    const got = decode(target.dtype, viewOf(target.dtype, raw, 0, target.size))
    found.push(...reportOutput(call, o, got, values[o], limitAt(call, target.dtype, backend.name)))
    const after = new Uint8Array(raw, wholeWords(target.bytes))
    if (!after.every((byte) => byte === guard)) found.push(`${target} is written past`)
  }
  return found.join(", ")
}

/** Memory for an output with bytes after it that no kernel has to write. */
function guarded(backend: Backend, { shape, dtype, bytes }: Tensor): Tensor {
  const start = wholeWords(bytes)
  const buffer = backend.alloc(start + guardBytes, dtype)
  backend.write(buffer, new Uint8Array(guardBytes).fill(guard), start)
  return bound(buffer, shape, dtype)
}

const wholeWords = (bytes: number): number => Math.ceil(bytes / 4) * 4
