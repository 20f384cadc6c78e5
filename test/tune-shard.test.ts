// Tuning by ranks that keep parts of the state, or of the model too: to the bit what one process does with as many
// micro-batches, of weights and of adapters beside weights of any dtype.
import { readFileSync } from "node:fs"
import { ranksInMemory } from "../index.ts"
import type { TuneFields, TuneName } from "../train/tune/index.ts"
import { mpirun, noOpenMpi, ofOpenMpi } from "./launchers.ts"
import { at } from "./runs.ts"
import t from "./tap.ts"
import { backend, small, tuned } from "./tuning.ts"

t.teardown(() => backend.close())

const [alpaca, pairs] = [at("alpaca.jsonl"), at("pairs.jsonl")]
const sft = { data: alpaca, sequenceLength: 256 }
// Of a validation there is less than one batch for each rank.
const dora = {
  ...{ ...sft, adapter: "dora", dropout: 0.2, clip: 0.1, checkpointActivations: true },
  validation: 0.2,
}
/** Settings of a run, by what it is called. */
const kinds: readonly (readonly [string, TuneName, TuneFields[TuneName]])[] = [
  ["dora", "sft", { ...dora, pack: true, targets: "" } as TuneFields["sft"]],
  ["q8", "sft", { ...sft, dtype: "q8", adapter: "dora" }],
  ["q4", "sft", { ...sft, dtype: "q4" }],
  ["bf16", "sft", { ...sft, dtype: "bf16", adapter: "none" }],
  ["dpo", "dpo", { data: pairs, adapter: "none" }],
  ["dpo-lora", "dpo", { data: pairs, dtype: "bf16", validation: 0.25 }],
  ["reward", "reward", { data: pairs, sequenceLength: 256 }],
]
for (const [name, kind, settings] of kinds) {
  t.test(`${name} of two ranks that keep parts`, async (t) => {
    const few = { ...settings, steps: 2, keep: 1 }
    const one = await tuned(kind, `${name}-one`, { ...few, accumulation: 2 })
    t.ok(one.lines.some((line) => "sample" in line))
    for (const shard of name === "dora" ? (["full", "state"] as const) : (["full"] as const)) {
      const two = await tuned(kind, `${name}-${shard}`, { ...few, shard }, ranksInMemory(2))
      t.same(two, one, shard)
    }
  })
}

t.test("runs begin with one way to share and go on with another, to the bit", async (t) => {
  const settings = { ...dora, accumulation: 4 } as TuneFields["sft"]
  const from = (run: string, step: number) => ({ resume: at(run, `step-0000000${step}`) })
  const on = (run: string, size: number, shard: "full" | "state", more: object) =>
    tuned("sft", run, { ...settings, shard }, ranksInMemory(size), more)
  const whole = await tuned("sft", "whole", settings)
  const four = await on("four", 4, "full", {})
  t.same(four, whole)
  const two = await on("two", 2, "state", from("four", 1))
  t.same(two.files, whole.files)
  const again = await on("again", 2, "full", from("two", 2))
  t.same(again.files, whole.files)
  const one = await tuned("sft", "one", { ...settings, shard: "full" }, [], from("two", 2))
  t.same(one.files, whole.files)
})

t.test("a reference that is computed when the run goes on", async (t) => {
  const settings = { data: pairs, adapter: "none", accumulation: 2 } as TuneFields["dpo"]
  const whole = await tuned("dpo", "reference-one", settings)
  const resume = at("reference-one", "step-00000002")
  const full = { ...settings, shard: "full" } as const
  const two = await tuned("dpo", "reference-two", full, ranksInMemory(2), { resume })
  t.same(two.files, whole.files)
  const [own, other] = ["one", "two"].map((of) =>
    readFileSync(at(`reference-${of}/reference.jsonl`)),
  )
  t.same(other, own)
})

t.test("the command does so by processes of MPI", { skip: noOpenMpi }, async (t) => {
  const { model, rank, steps } = small
  const given = `tune sft --model ${model} --data ${alpaca} --rank ${rank} --steps ${steps} --batch-size 4`
  const more =
    "--adapter dora --dtype q8 --sequence-length 256 --validation 0.3 --eval-every 2 --threads 1"
  const flags = `${given} ${more} --sample-every 2 --sample-tokens 4`.split(" ")
  const one = await mpirun(ofOpenMpi, 1, [...flags, "--accumulation", "2", "--out", "command-one"])
  t.equal(one.code, 0, one.stderr)
  const two = await mpirun(ofOpenMpi, 2, [...flags, "--shard", "full", "--out", "command-two"])
  t.equal(two.code, 0, two.stderr)
  t.match(two.stdout, /2 processes, joined by Open MPI/)
  t.match(two.stdout, /weights [\d.]+ \w+, .* in turns/)
  const [own, shared] = ["one", "two"].map((of) =>
    ["adapter_model", "optimizer"].map((name) =>
      readFileSync(at(`command-${of}/step-00000003/${name}.safetensors`)),
    ),
  )
  t.same(shared, own)
})
