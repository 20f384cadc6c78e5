// Every kernel at the widths where its vectors, panels, blocks and tiles end, against its float64
// meaning. ELM_TEST_TAILS=pairs goes through every two sizes at once, which takes hours.

import { caseName } from "../bench/measure/cases.ts"
import type { Case, Op } from "../engine/index.ts"
import { allOps } from "../ops/index.ts"
import { noWholeWebgpu, wasmBackends, webgpuBackends } from "./backends.ts"
import { smallPart } from "./driver.ts"
import { errorsOf, knownOf, tailsOf } from "./tails.ts"
import t from "./tap.ts"

const wanted = process.env.ELM_TEST_OPS?.split(",")
const pairs = process.env.ELM_TEST_TAILS === "pairs"
const ops = allOps.filter((op) => op.signature && !op.view && (wanted?.includes(op.name) ?? true))

// Both builds, and the tiles of 256 bits; how rows are shared among threads is ops.test.ts's matter.
const opened = [
  ...wasmBackends.filter(({ label }) => /1 thread|wide/.test(label)),
  ...webgpuBackends,
]
const backends = await Promise.all(
  opened.map(async ({ label, open }) => ({ label, backend: await open() })),
)
t.teardown(() => {
  for (const { backend } of backends) backend.close()
})

/** The sizes at the ends of vectors and panels and just beyond, of a list from 1 on: what a software GPU
 *  has the time for, and `npm test` by itself, which leaves out those two beyond. */
const nearEnds = <T>(all: readonly T[]): T[] =>
  pairs ? [...all] : all.filter((_, i) => (smallPart ? [0, 15] : [0, 1, 15]).includes(i % 16))

/** What is wrong with a kernel at some sizes, on every backend that has it. */
async function wrong(op: Op, tests: readonly Case[]): Promise<string[]> {
  const known = await knownOf(op, smallPart ? nearEnds(tests) : tests)
  const found: string[] = []
  for (const { label, backend } of backends.filter((b) => b.backend.has(op.name))) {
    const tried = label === "webgpu" && !smallPart ? nearEnds(known) : known
    const errors = await errorsOf(backend, tried)
    errors.forEach((error, i) => {
      if (error) found.push(`${caseName(op, tried[i]?.test ?? {})} on ${label}: ${error}`)
    })
  }
  return found
}

for (const op of ops) {
  t.test(`${op.name} is right at every tail`, async (t) => {
    let count = 0
    for (const tests of tailsOf(op, pairs)) {
      for (const error of await wrong(op, tests)) t.fail(error)
      count += tests.length
    }
    t.ok(count > 0, `${count} cases`)
  })
}

if (noWholeWebgpu) t.test("tails on webgpu", { skip: noWholeWebgpu }, () => undefined)
