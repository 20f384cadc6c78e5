// Checks of ops and their gradients against the golden numbers of single ops (test/fixtures/ops).

import { type Backend, constant, readTensors, type Tensor, vjp } from "../engine/index.ts"
import { add, affine, cast, crossEntropy, equal, reshape, sum } from "../ops/index.ts"
import { objectives } from "../train/index.ts"
import { allBackends, relativeError } from "./backends.ts"
import { fixtureJson, type Golden, golden, goldenOf, tensorOf } from "./fixtures.ts"
import t from "./tap.ts"

export type Goldens = ReadonlyMap<string, Golden>

/** What a suite's case checks: an output or a gradient by its golden name, and the limit. */
export interface Check {
  readonly name: string
  readonly got: Tensor
  readonly limit: number
}

/** Checks of every case of a fixture. */
export interface Suite {
  readonly file: string
  checks(all: Goldens, name: string, attrs: Record<string, number | null>): Check[]
}

/** Gradients of outputs with the golden cotangents, by golden name. */
export function gradients(
  all: Goldens,
  name: string,
  outputs: Record<string, Tensor>,
  inputs: Record<string, Tensor>,
  limit: number,
): Check[] {
  const cotangents = Object.entries(outputs).map(([key, y]) => cotangentOf(all, name, key, y))
  const found = vjp(Object.values(outputs), cotangents, Object.values(inputs))
  return Object.keys(inputs).map((key, i) => ({
    name: `ref.d${key}`,
    got: found[i] as Tensor,
    limit,
  }))
}

/** The golden cotangent of an output; ones where it has none. */
export const cotangentOf = (all: Goldens, name: string, key: string, y: Tensor): Tensor =>
  all.has(`${name}/cot.${key}`)
    ? tensorOf(all, `${name}/cot.${key}`, y.shape)
    : constant(new Float64Array(y.size).fill(1), y.shape)

/** The release's loss of logits (N, V) and its terms, over the targets that are not ignored. */
export function lossTerms(
  logits: Tensor,
  targets: Tensor,
  { ignoreIndex = -1, zLoss = 0 }: { readonly ignoreIndex?: number; readonly zLoss?: number },
) {
  const [T, V] = logits.shape as [number, number]
  const losses = crossEntropy(logits, targets, { smoothing: 0 }) // (N) each
  const ignored = equal(cast(targets, "f32"), constant([ignoreIndex], [1])) // (N)
  const count = sum(affine(ignored, -1, 1)) // (1)
  const objective = objectives.crossEntropy({ zLoss })
  const { ce, z } = objective.loss(
    { ...losses, meanLogit: () => losses.lse, ignored, count, given: constant([0], [1]) },
    { B: 1, T, V },
  ) as Terms
  return { loss: reshape(add(ce, z), [1]), ce, z }
}

type Terms = Readonly<Record<"ce" | "z", Tensor>>

/** Rows and columns of a golden tensor seen as a matrix. */
export const rows = (all: Goldens, key: string): [number, number] => {
  const { shape } = goldenOf(all, key)
  const D = shape.at(-1) as number
  return [goldenOf(all, key).values.length / D, D]
}

/** A test of every suite on every backend. */
export function testSuites(title: string, suites: readonly Suite[]): void {
  for (const { label, open } of allBackends) {
    t.test(`${title} on ${label}`, async (t) => {
      const backend = await open()
      for (const suite of suites) {
        const all = await golden(`ops/${suite.file}.safetensors`)
        for (const { case: name, attrs } of fixtureJson(`ops/${suite.file}.json`).cases) {
          const checks = suite.checks(all, name, attrs ?? {})
          t.equal(await worst(backend, all, name, checks), "", `${suite.file} ${name}`)
        }
      }
      backend.close()
    })
  }
}

async function worst(backend: Backend, all: Goldens, name: string, checks: readonly Check[]) {
  const known = checks.filter((check) => all.has(`${name}/${check.name}`))
  const values = await readTensors(
    known.map((check) => check.got),
    backend,
  )
  return known
    .flatMap((check, i) => {
      const error = relativeError(values[i] ?? [], goldenOf(all, `${name}/${check.name}`).values)
      return error <= check.limit ? [] : [`${check.name} is off by ${error.toExponential(1)}`]
    })
    .join()
}
