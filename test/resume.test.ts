// Runs in this process that stop and go on: in bf16, with micro-batches, from data that is not
// packed, twice; and what a run leaves on its backend when it fails.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { uniformAt } from "../engine/index.ts"
import { open } from "../index.ts"
import { checkSettings } from "../train/settings.ts"
import { type RunOptions, train } from "../train/trainer.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-resume-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const words = "the quick brown fox jumps over the lazy dog and then sleeps".split(" ")
const documentOf = (n: number): string =>
  Array.from(
    { length: 8 + (n % 5) * 8 },
    (_, i) => words[Math.floor(uniformAt(5, n, 0, i) * words.length)],
  ).join(" ")
const documents = join(dir, "documents.jsonl")
const texts = Array.from({ length: 90 }, (_, n) => JSON.stringify({ text: documentOf(n) }))
writeFileSync(documents, texts.join("\n"))

const packed = { sources: [documents], pack: true, shuffle_windows: 16, normalisation: "none" }
const tiny = {
  layers: 2,
  dim: 32,
  head_dim: 16,
  queries_per_key: 1,
  ffn_divisor: 16,
  tokenizer: "byte",
  data: packed,
  sequence_length: 32,
  batch_size: 4,
  steps: 12,
  warmup_steps: 3,
  lr: 0.01,
  eval_every: 0,
  sample_every: 0,
  save_every: 4,
  keep: 100,
  prompt: "the ",
}

const settingsOf = (out: string, changes: object) =>
  checkSettings({ ...tiny, ...changes, out: join(dir, out) }, out)

/** Runs, `stopAfter` so many updates of it where given. */
async function run(out: string, changes: object, more: Partial<RunOptions> = {}, stopAfter = 0) {
  const control = new AbortController()
  await using backend = await open("wasm", { threads: 1 })
  let left = stopAfter
  return await train(settingsOf(out, { log_every: 1, ...changes }), {
    backend,
    signal: control.signal,
    onMetrics: () => {
      if (--left === 0) control.abort()
    },
    ...more,
  })
}

const filesOf = (checkpoint: string | undefined) =>
  ["model.safetensors", "optimizer.safetensors"].map((name) =>
    readFileSync(join(checkpoint as string, name)),
  )

const unpacked = { sources: [documents], min_tokens: 60, min_characters: 40, workers: 2 }
const kinds: Record<string, object> = {
  bf16: { dtype: "bf16" },
  "bf16-parts": { dtype: "bf16", accumulation: 2, accumulate: "sum", checkpoint_activations: true },
  unpacked: { accumulation: 4, data: unpacked },
}

for (const [kind, changes] of Object.entries(kinds)) {
  t.test(`resumed twice equals never stopped: ${kind}`, async (t) => {
    const whole = await run(`${kind}-whole`, changes)
    const out = `${kind}-parts`
    const first = await run(out, changes, {}, 5)
    t.equal(first.step, 5)
    const resume = join(dir, out)
    const second = await run(out, changes, { resume }, 4)
    t.equal(second.step, 9)
    const third = await run(out, changes, { resume })
    t.equal(third.step, 12)
    const [want, got] = [filesOf(whole.checkpoint), filesOf(third.checkpoint)]
    t.ok(got[0]?.equals(want[0] as Buffer), "weights")
    t.ok(got[1]?.equals(want[1] as Buffer), "moments and masters")
    t.equal(third.tokens, whole.tokens)
  })
}
