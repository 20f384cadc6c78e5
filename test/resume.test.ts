// Runs in this process that stop and go on: in bf16, with micro-batches, from data that is not
// packed, twice; and what a run leaves on its backend when it fails.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWasm } from "../backends/wasm/index.ts"
import { uniformAt } from "../engine/index.ts"
import { open } from "../index.ts"
import { byteTokenizer } from "../model/tokenizer/bytes.ts"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import { openLog } from "../train/run/log.ts"
import { dataSection } from "../train/run/parts.ts"
import type { RunOptions } from "../train/run/run.ts"
import { checkSettings } from "../train/run/settings.ts"
import { train } from "../train/run/train.ts"
import t from "./tap.ts"

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

const packed = { sources: [documents], pack: true, shuffleWindows: 16, normalization: "none" }
const tiny = {
  layers: 2,
  dim: 32,
  headDim: 16,
  queriesPerKey: 1,
  ffnDivisor: 16,
  tokenizer: "byte",
  data: packed,
  sequenceLength: 32,
  batchSize: 4,
  steps: 12,
  warmupSteps: 3,
  lr: 0.01,
  evalEvery: 0,
  sampleEvery: 0,
  saveEvery: 4,
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
  return await train(settingsOf(out, { logEvery: 1, ...changes }), {
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

const unpacked = { sources: [documents], minTokens: 60, minCharacters: 40, workers: 2 }
const kinds: Record<string, object> = {
  bf16: { dtype: "bf16" },
  "bf16-parts": { dtype: "bf16", accumulation: 2, accumulate: "sum", checkpointActivations: true },
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

t.test("samples of text never end a run", async (t) => {
  const samples = { steps: 4, sampleEvery: 1, sampleTokens: 20, saveEvery: 0 }
  const kinds = {
    "last seed": { seed: 2 ** 32 - 1 },
    "rows without a piece": { vocabSize: 400 },
    "no room": { sequenceLength: 1, batchSize: 64 },
    "empty prompt": { prompt: "" },
  }
  for (const [kind, changes] of Object.entries(kinds)) {
    const { step } = await run(kind.replaceAll(" ", "-"), { ...samples, ...changes })
    t.equal(step, 4, kind)
  }
})

t.test("a run takes its tokenizer along, and frees what it held when it fails", async (t) => {
  const tokenizer = join(dir, "bytes.json")
  writeFileSync(tokenizer, byteTokenizer().file.bytes)
  const changes = { tokenizer, steps: 8 }
  await run("moved", changes, {}, 4)
  rmSync(tokenizer)
  const resume = join(dir, "moved")
  const { step, checkpoint } = await run("moved", changes, { resume })
  t.equal(step, 8)
  const backend = await openWasm({ threads: 1 })
  const before = backend.usedBytes
  writeFileSync(join(checkpoint as string, "optimizer.safetensors"), "{}")
  const settings = settingsOf("moved", changes)
  await t.rejects(train(settings, { backend, resume }), /optimizer\.safetensors/)
  t.equal(backend.usedBytes, before)
  backend.close()
})

t.test("the log goes on from the checkpoint that is resumed, in no other's folder", async (t) => {
  const changes = { steps: 8 }
  await run("log", changes)
  const [first, last] = (await checkpointsIn(join(dir, "log"))) as [string, string]
  const settings = settingsOf("log", changes)
  const fail = (message: string): void => {
    t.fail(message)
  }
  await t.rejects(openLog(settings, undefined, fail), /holds a run already/)
  await t.rejects(
    openLog(settings, first, fail),
    /step-00000008, and .*step-00000004 is to be resumed/,
  )
  await openLog(settings, last, fail)
  const lines = [4, 6].map((step) => `${JSON.stringify({ step, loss: 1 })}\n`)
  writeFileSync(join(dir, "log", "metrics.jsonl"), lines.join(""))
  const other = settingsOf("other", changes)
  const log = await openLog(other, first, fail)
  await log.begin(4)
  t.notOk(existsSync(join(dir, "other")), "nothing is written before there is something to say")
  await log.add({ step: 5, sample: "text" })
  const written = readFileSync(join(dir, "other", "metrics.jsonl"), "utf8")
  t.equal(written, `${lines[0]}{"step":5,"sample":"text"}\n`)
})

t.test("a text given as data is packed", async (t) => {
  const { pack } = await dataSection(settingsOf("text", { data: documents }))
  t.equal(pack, true)
})
