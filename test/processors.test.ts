// Processors of logits against transformers' own, in f64: each by itself, chains of them, and what is
// drawn after them.

import {
  chainOf,
  type ProcessorOptions,
  processorList,
} from "../model/generate/processors/chain.ts"
import { softmax } from "../model/generate/processors/probabilities.ts"
import type { Change, Step } from "../model/generate/processors/processor.ts"
import { fixtureJson } from "./fixtures.ts"
import t, { type Test } from "./tap.ts"

interface Golden {
  readonly input_ids: readonly number[]
  readonly logits: readonly number[]
  readonly single: Record<string, Row>
  readonly pipeline: Record<string, { scores: Row; probs: number[] }>
}

type Row = readonly (number | null)[]

const golden: Golden = fixtureJson("generation/processors.json")
const ids = golden.input_ids
const vocabulary = { size: golden.logits.length, tokenizer: undefined }

/** The option of a field; transformers has a class of its own for some. */
const optionOf = (field: string): keyof ProcessorOptions => {
  const asked = field === "renormalize" ? "renormalize_logits" : field
  return processorList.find(([, each]) => each.field === asked)?.[0] as keyof ProcessorOptions
}

/** A golden name such as "min_new_tokens=5,prompt=10,eos=2": a field, its value, and where it stands. */
function read(name: string): { field: string; value: unknown; step: Step } {
  const facts = new Map<string, number>()
  const rest = name.replace(/,([a-z_]+)=(\d+)/g, (_, key: string, value: string) => {
    facts.set(key, Number(value))
    return ""
  })
  const at = rest.indexOf("=")
  const field = at < 0 ? rest : rest.slice(0, at)
  const step = {
    ids,
    promptLength: facts.get("prompt") ?? ids.length,
    longest: facts.get("max_length") ?? Number.POSITIVE_INFINITY,
    ends: facts.has("eos") ? [facts.get("eos") as number] : [],
    keep: facts.get("min_tokens_to_keep") ?? 1,
  }
  return { field, value: at < 0 ? true : literal(rest.slice(at + 1)), step }
}

/** Python's tuples are lists, its dict of biases is a list of pairs. */
const literal = (given: string): unknown =>
  JSON.parse(
    given
      .replace(/\(([\d.,]+?),?\):(-?[\d.]+)/g, "[[$1],$2]")
      .replace("{", "[")
      .replace("}", "]")
      .replace(/\(([\d.,]+)\)/g, "[$1]"),
  )

function scored(changes: readonly Change[], step: Step): Float64Array {
  const scores = Float64Array.from(golden.logits)
  for (const change of changes) change(scores, step)
  return scores
}

const ruledOut = (row: Row): number[] =>
  row.flatMap((x, i) => (x === null || x === -Infinity ? [i] : []))

function checkRow(t: Test, got: Float64Array, want: Row): void {
  t.same(ruledOut([...got]), ruledOut(want), "the same are ruled out")
  const errors = want.map((x, i) =>
    x === null ? 0 : Math.abs((got[i] as number) - x) / Math.max(1e-9, Math.abs(x)),
  )
  const worst = Math.max(...errors)
  t.ok(worst < 1e-9, `off by ${worst.toExponential(1)}`)
}

for (const [name, want] of Object.entries(golden.single)) {
  t.test(`${name} is as transformers has it`, (t) => {
    const { field, value, step } = read(name)
    const option = optionOf(field)
    const processor = processorList.find(([each]) => each === option)?.[1]
    const change = processor?.change(processor.check(value, name, vocabulary))
    checkRow(t, scored(change ? [change] : [], step), want)
    t.end()
  })
}

for (const [name, { scores: want, probs }] of Object.entries(golden.pipeline)) {
  t.test(`the chain ${name} is as transformers has it`, (t) => {
    const fields = Object.entries(JSON.parse(name) as Record<string, unknown>)
    const options = Object.fromEntries(fields.map(([field, value]) => [optionOf(field), value]))
    const { changes } = chainOf(options, vocabulary)
    const longest = Number.POSITIVE_INFINITY
    const scores = scored(changes, { ids, promptLength: ids.length, longest, ends: [], keep: 1 })
    checkRow(t, scores, want)
    const errors = [...softmax(scores)].map((p, i) => Math.abs(p - (probs[i] as number)))
    t.ok(Math.max(...errors) < 1e-12, "and so are the probabilities")
    t.end()
  })
}
