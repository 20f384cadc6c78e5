// The op table, walked: every op × case × backend against its float64 meaning, every hand-written
// vjp against the derived one, every derived one against finite differences, and wrong shapes.

import { caseName, recordCase } from "../bench/measure/cases.ts"
import {
  type Backend,
  type Call,
  type Case,
  constant,
  derivedVjp,
  type Maybe,
  normalAt,
  type Op,
  type Tensor,
  vjp,
} from "../engine/index.ts"
import { allOps, copy, fusedOps, rmsNorm } from "../ops/index.ts"
import { noWebgpu, tableBackends, webgpuBackends } from "./backends.ts"
import { cotangentsOf, errorsOf, kernelError, oracle, outputsOn, report } from "./cases.ts"
import t, { type Test } from "./tap.ts"

const wanted = process.env.ELM_TEST_OPS?.split(",")
const ops = allOps.filter((op) => !wanted || wanted.includes(op.name))

/** What only alternatives are made of: elsewhere the op that they stand for serves better. */
const kernelsOfSome = new Set(
  allOps.flatMap(({ alternatives }) => alternatives.flatMap(({ ops }) => ops)),
)

if (noWebgpu) t.test("kernels on webgpu", { skip: noWebgpu }, () => undefined)

t.test("kernels on every backend equal their float64 meaning", async (t) => {
  const opened = await Promise.all(
    tableBackends.map(async (each) => ({ ...each, backend: await each.open() })),
  )
  for (const op of ops.filter((o) => !o.view)) {
    const having = opened.filter(({ label, backend }) => hasKernel(t, op, backend, label))
    for (const test of op.cases) {
      const call = recordCase(op, test)
      const want = await oracle(call.outputs)
      const firsts = new Map<string, Float64Array[]>()
      for (const { label, backend, takes } of having) {
        if (takes && !takes(call)) continue
        const got = await outputsOn(backend, call)
        t.equal(errorsOf(call, backend, got, want), "", `${caseName(op, test)} on ${label}`)
        // One build gives the same bits on any number of threads and with either tile.
        const build = /^wasm \w+/.exec(label)?.[0]
        if (build === undefined) continue
        const first = firsts.get(build) ?? got
        firsts.set(build, first)
        if (!isSame(got, first)) t.fail(`${caseName(op, test)} on ${label} has bits of its own`)
      }
    }
  }
  for (const { backend } of opened) backend.close()
})

/** Whether a backend has a kernel of an op, as it must unless the op's alternatives serve. */
function hasKernel(t: Test, op: Op, backend: Backend, label: string): boolean {
  if (backend.has(op.name)) return true
  const isOptional = label.startsWith("wasm") && kernelsOfSome.has(op)
  // One that is always lowered is as right as its meanings are.
  if (!isOptional && op.alternatives.length === 0) t.fail(`${op.name} has no kernel on ${label}`)
  return false
}

const isSame = (got: readonly Float64Array[], want: readonly Float64Array[]): boolean =>
  got.every((y, i) => y.every((v, n) => Object.is(v, want[i]?.[n])))

for (const { label, open } of webgpuBackends) {
  t.test(`kernels on ${label} also read what they may write beside`, async (t) => {
    const backend = await open()
    for (const op of ops.filter((o) => !o.view && backend.has(o.name))) {
      const call = recordCase(op, op.cases[0] as Case)
      // Copies lie in the arena, as the outputs do, so that everything is bound for writing.
      const moved = op.record(call.inputs.map(copy), call.attrs)
      t.equal(await kernelError(backend, call, moved), "", op.name)
    }
    backend.close()
  })
}

t.test("hand-written vjps equal those derived from the meaning", async (t) => {
  for (const op of ops.filter((o) => fusedOps.includes(o) && o.vjp)) {
    for (const test of op.cases)
      t.equal(await vjpError(recordCase(op, test)), "", caseName(op, test))
  }
})

/** The hand-written vjp against the derived one, for every set of cotangents that it takes. */
async function vjpError(call: Call): Promise<string> {
  const all = cotangentsOf(call)
  const errors: string[] = []
  let taken = 0
  for (let set = 1; set < 2 ** all.length; set++) {
    const given = all.map((d, i) => (set & (1 << i) ? d : undefined))
    const hand = given.some((d) => d) ? call.op.vjp?.(call, given) : undefined
    if (!hand) continue
    taken++
    // No input has a cotangent by declaration: steps of an optimizer, changes of layout.
    if (hand.every((d) => d === undefined)) continue
    errors.push(await vjpDifference(call, given, hand))
  }
  return taken > 0 ? errors.join("") : "takes no cotangents"
}

async function vjpDifference(call: Call, given: readonly Maybe[], hand: readonly Maybe[]) {
  const derived = derivedVjp(call, given) ?? []
  const pairs = call.inputs.flatMap((_, i) => (hand[i] || derived[i] ? [i] : []))
  if (pairs.length === 0) return ""
  if (pairs.some((i) => !hand[i] || !derived[i])) return "one of the two gives no cotangent"
  const [a, b] = [
    await oracle(pairs.map((i) => hand[i] as Tensor)),
    await oracle(pairs.map((i) => derived[i] as Tensor)),
  ]
  return pairs.flatMap((i, n) => report(call.op.inputs[i], a[n], b[n], 1e-9)).join()
}

t.test("a vjp that is wrong by one per cent is caught", async (t) => {
  const { op } = rmsNorm
  const wrong: Op = {
    ...op,
    vjp: (call, d) => op.vjp?.(call, d)?.map((x, i) => (x && i === 0 ? scaled(x, 1.01) : x)),
  }
  const call = recordCase(op, op.cases[1] as Case)
  t.equal(await vjpError(call), "", "the right one passes")
  t.match(await vjpError({ ...call, op: wrong }), /x is off by/, "the wrong one does not")
})

const scaled = (x: Tensor, by: number): Tensor => {
  const affine = allOps.find((o) => o.name === "affine") as Op
  return affine.record([x], { scale: by, shift: 0 }).outputs[0] as Tensor
}

t.test("derived vjps equal finite differences along a random direction", async (t) => {
  for (const op of ops) {
    for (const test of op.cases.filter(isSmall(op))) {
      const error = await differenceError(op, test)
      if (error !== undefined)
        t.ok(error < 1e-6, `${caseName(op, test)}: ${error.toExponential(1)}`)
    }
  }
})

const isSmall =
  (op: Op) =>
  (test: Case): boolean => {
    const elements = recordCase(op, test).inputs.map((x) => x.size)
    return Math.max(0, ...elements) <= 20_000
  }

/** |⟨vjp, v⟩ − (f(x + εv) − f(x − εv)) / 2ε| relative; undefined where no gradient is defined. */
async function differenceError(op: Op, test: Case): Promise<number | undefined> {
  const call = recordCase(op, test)
  const cotangents = cotangentsOf(call)
  if (call.outputs.some((y) => y.dtype !== "f32")) return undefined // steps have no slope
  const results = op.meaning
    ? derivedVjp(call, cotangents)
    : vjp(call.outputs, cotangents, call.inputs)
  const used = call.inputs.flatMap((x, i) => (x.dtype === "f32" && results?.[i] ? [i] : []))
  if (used.length === 0) return undefined
  const direction = (n: number, i: number) => (used.includes(n) ? normalAt(9, n, 1, i) : 0)
  const gradients = await oracle(used.map((i) => results?.[i] as Tensor))
  let along = 0
  gradients.forEach((g, n) => {
    g.forEach((value, i) => {
      along += value * direction(used[n] as number, i)
    })
  })
  const step = 1e-5
  const value = async (sign: number): Promise<number> => {
    const moved = recordCase(op, test, (n, i) => sign * step * direction(n, i))
    const outputs = await oracle(moved.outputs)
    const weights = await oracle(cotangents.map((d) => d ?? constant([0], [1])))
    return outputs.reduce(
      (sum, y, o) => sum + (cotangents[o] ? inner(y, weights[o] as Float64Array) : 0),
      0,
    )
  }
  const slope = ((await value(1)) - (await value(-1))) / (2 * step)
  const scale = gradients.reduce((s, g) => s + g.reduce((a, b) => a + b * b, 0), 0) ** 0.5
  return Math.abs(along - slope) / (scale || 1)
}

const inner = (a: Float64Array, b: Float64Array): number =>
  a.reduce((s, v, i) => s + v * (b[i] as number), 0)

t.test("every signature refuses a wrong shape, a wrong dtype and a missing tensor", (t) => {
  for (const op of ops.filter((o) => o.signature && o.inputs.length > 0)) {
    const { inputs, attrs } = recordCase(op, op.cases[0] as Case)
    const deeper = inputs.map((x, i) => (i === 0 ? zeros([...x.shape, 1], x) : x))
    t.throws(
      () => op.record(deeper, attrs),
      { name: "RangeError", message: /axes[\s\S]*takes[\s\S]*got/ },
      op.name,
    )
    t.throws(
      () => op.record(inputs.slice(1), attrs),
      { name: "TypeError", message: /tensors, got/ },
      op.name,
    )
    inputs.forEach((x, i) => {
      const allowed = op.signature?.[i]?.dtypes
      const wrong = x.dtype === "i32" ? "f32" : "i32"
      if (allowed === "dtype" || allowed?.includes(wrong)) return
      const changed = inputs.map((y, n) =>
        n === i ? constant(new Float64Array(y.size), y.shape, wrong) : y,
      )
      t.throws(
        () => op.record(changed, attrs),
        { name: "TypeError", message: /expected/ },
        `${op.name} dtype`,
      )
    })
    if (!sharesSize(op)) continue
    // Only what the shapes do not give, so that nothing but the grown tensor is wrong.
    const known = sizesFromShapes(op)
    const own = Object.fromEntries(Object.entries(attrs).filter(([key]) => !known.has(key)))
    t.doesNotThrow(() => op.record(inputs, own), op.name)
    const grown = inputs.map((x, i) =>
      i === 0
        ? zeros(
            x.shape.map((n) => n + 1),
            x,
          )
        : x,
    )
    t.throws(() => op.record(grown, {}), `${op.name} with one tensor grown`)
  }
  t.end()
})

/** Sizes that follow from the shapes of the inputs alone. */
function sizesFromShapes(op: Op): Set<string> {
  const known = new Set<string>()
  const dims = op.signature?.flatMap((slot) => slot.dims) ?? []
  for (let before = -1; before < known.size; ) {
    before = known.size
    for (const { symbols } of dims) {
      const unknown = symbols.filter((symbol) => !known.has(symbol))
      if (unknown.length === 1) known.add(unknown[0] as string)
    }
  }
  return known
}

/** Whether two inputs have a size in common, so that one grown alone cannot fit. */
const sharesSize = (op: Op): boolean => {
  const names = op.signature?.map((slot) => new Set(slot.dims.flatMap((dim) => dim.symbols))) ?? []
  const [first, ...others] = names
  return [...(first ?? [])].some((name) => others.some((other) => other.has(name)))
}

const zeros = (shape: readonly number[], like: Tensor): Tensor =>
  constant(new Float64Array(shape.reduce((a, b) => a * b, 1)), shape, like.dtype)
