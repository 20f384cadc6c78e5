// Runs of `elm tune sft` on a small random model: killed and resumed to the bit, packed and padded, with what
// cannot be used refused or passed over.
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { loadAdapter, mergeAdapter, OpenELM, open, train, tune } from "../index.ts"
import { PythonRandom } from "../model/python/random.ts"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import type { RunOptions } from "../train/run/run.ts"
import { ExampleStream, releaseOrder, trainerOrder } from "../train/tune/order.ts"
import { onlyInWhole } from "./driver.ts"
import { fixtureJson } from "./fixtures.ts"
import { at, ended, run, start, text } from "./runs.ts"
import { writeSmallModel } from "./small_folder.ts"
import t from "./tap.ts"

await writeSmallModel(at(), 512)
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join("\n")
const alpaca = at("alpaca.jsonl")
const records = Array.from({ length: 24 }, (_, i) => ({
  ...{ instruction: `Say ${i % 7}.`, input: i % 3 ? "" : "now", output: `It is ${i % 7}` },
}))
writeFileSync(alpaca, lines(records))
const chats = at("chats.json")
const turn = (role: string, content: string) => ({ role, content })
const chat = (i: number) => [turn("user", `Say ${i % 7}.`), turn("assistant", `It is ${i % 7}`)]
const messages = Array.from({ length: 24 }, (_, i) => ({ messages: [...chat(i), ...chat(i + 1)] }))
writeFileSync(chats, JSON.stringify(messages))

const small = {
  ...{ model: at(), data: alpaca, rank: 2, targets: "qkv_proj,out_proj", lr: 0.01, batchSize: 4 },
  ...{ steps: 6, evalEvery: 2, saveEvery: 2, logEvery: 1, sampleEvery: 0, keep: 9, threads: 1 },
}

async function tuned(out: string, changes: object, more: Partial<RunOptions> = {}) {
  await using backend = await open("wasm", { threads: 1 })
  return await tune("sft", { ...small, ...changes, out: at(out) }, { backend, ...more })
}

const filesOf = (checkpoint: string | undefined) =>
  ["adapter_model.safetensors", "optimizer.safetensors"].map((name) =>
    readFileSync(join(checkpoint as string, name)),
  )

const kinds = {
  dora: { adapter: "dora", dropout: 0.2, accumulation: 2, accumulate: "sum" },
  q4: { dtype: "q4", data: chats, pack: true, sequenceLength: 256, batchSize: 2 },
} as const
for (const [kind, changes] of Object.entries(kinds)) {
  t.test(
    `a run that was stopped goes on to the bit: ${kind}`,
    kind === "q4" ? {} : onlyInWhole,
    async (t) => {
      const whole = await tuned(`${kind}-whole`, changes)
      const control = new AbortController()
      const stop = { signal: control.signal, onMetrics: () => control.abort() }
      const first = await tuned(kind, changes, stop)
      t.equal(first.step, 1)
      t.ok(first.stopped)
      const second = await tuned(kind, changes, { resume: at(kind) })
      t.equal(second.step, 6)
      t.same(filesOf(second.checkpoint), filesOf(whole.checkpoint))
      t.equal(second.tokens, whole.tokens)
      t.same(second.best, whole.best)
    },
  )
}

t.test("a run that was killed goes on to the bit", onlyInWhole, async (t) => {
  const flags = `--model ${at()} --data ${alpaca} --rank 2 --lr 0.01 --batch-size 4 --threads 1`
  const every = "--steps 8 --log-every 1 --eval-every 4 --save-every 2 --sample-every 0 --keep 9"
  const args = ["tune", "sft", ...flags.split(" "), ...every.split(" ")]
  const whole = await run([...args, "--out", at("unkilled")])
  t.equal(whole.code, 0, whole.stderr)
  const child = start([...args, "--out", at("killed")])
  await ended(child, (stdout) => {
    if (/^step 5/m.test(stdout)) child.kill("SIGKILL")
  })
  const on = await run(["tune", "sft", "--resume", at("killed")])
  t.equal(on.code, 0, on.stderr)
  t.match(on.stdout, /from update \d, into/)
  t.same(filesOf(at("killed", "step-00000008")), filesOf(at("unkilled", "step-00000008")))
})

t.test(
  "an adapter of a run is loaded by its folder, and the model's answers come from it",
  async (t) => {
    await using backend = await open("wasm", { threads: 1 })
    await using model = await OpenELM.load(at(), { backend })
    const { checkpoint } = await tuned("loaded", { lossOn: "all", lr: 0.05 })
    const shown = await run(["generate", "Say", "--model", at(), "--adapter", checkpoint as string])
    t.equal(shown.code, 0, shown.stderr)
    const other = { model: at(), resume: at("loaded") }
    await t.rejects(tuned("loaded", { dtype: "q8" }, other), /the adapter is of a base "f32 .*q8/)
    await OpenELM.random(model.config, { backend, seed: 9, tokenizer: "byte" }).then((stranger) =>
      stranger.save(at("stranger")).finally(() => stranger.close()),
    )
    const going = { from: checkpoint, steps: 1 }
    const strange = { ...going, model: at("stranger") }
    const others = { message: /made beside "small", .* agree to .*anyBase \(--any-base\)/ }
    await t.rejects(tuned("strange", strange), others)
    t.equal((await tuned("strange", { ...strange, anyBase: true })).step, 1, "where any will do")
    const little = await loadAdapter(model, checkpoint as string)
    little.scale = 0.1
    await mergeAdapter(model, little, { tied: "drop" })
    await model.save(at("near"))
    const message =
      /step-\d+: the adapter is of a base "f32 .*, the model is "f32 .* Give the model .*anyBase/
    await t.rejects(tuned("near", { ...going, model: at("near") }), { message })
    t.equal((await tuned("wider", { ...going, dtype: "q8" })).step, 1, "another dtype may be meant")
    const changed = { data: chats, steps: 8 }
    await t.rejects(tuned("loaded", changed, other), /the run had examples .* Go on with the same/)
    await t.rejects(
      tuned("loaded", { lossOn: "all", steps: 3 }, other),
      /has made 6 updates of 3. Give more/,
    )
  },
)

t.test("weights that are trained keep the chat template that they came with", async (t) => {
  const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
  mkdirSync(at("chatty"))
  for (const name of readdirSync(at()).filter((name) => /^(config|model|tokenizer)\./.test(name))) {
    cpSync(at(name), at("chatty", name))
  }
  writeFileSync(at("chatty", "chat_template.jinja"), template)
  const first = {
    model: at("chatty"),
    data: chats,
    adapter: "none",
    dtype: "f32",
    steps: 2,
  } as const
  const { checkpoint } = await tuned("tuned-chat", {
    ...first,
    keep: 1,
    saveEvery: 1,
    evalEvery: 0,
  })
  const own = (folder = "") => readFileSync(join(folder, "chat_template.jinja"), "utf8")
  t.equal(own(checkpoint), template)
  t.same(await checkpointsIn(at("tuned-chat")), [checkpoint], "and are removed with it")
  await using backend = await open("wasm", { threads: 1 })
  const again = { ...first, model: at("elsewhere"), steps: 3 }
  const on = await tuned("tuned-chat", { ...again, evalEvery: 0 }, { resume: at("tuned-chat") })
  t.equal(own(on.checkpoint), template, "of the checkpoint that a run goes on from")
  const steps = { steps: 1, warmupSteps: 1, sequenceLength: 32, batchSize: 2, evalEvery: 0 }
  const pretrained = await train(
    { init: at("chatty"), data: text, ...steps, sampleEvery: 0, out: at("trained-chat") },
    { backend },
  )
  t.equal(own(pretrained.checkpoint), template)
})

t.test("packed rows count what padded ones do, and texts do not see each other", async (t) => {
  writeFileSync(at("few.json"), JSON.stringify(messages.slice(0, 3)))
  const data = { data: at("few.json"), validation: 0, batchSize: 3, evalEvery: 0 }
  const one = { ...data, steps: 1, lr: 0.001 }
  const losses: number[] = []
  const seen = {
    onMetrics: (line: object) => void ("loss" in line && losses.push(Number(line.loss))),
  }
  const padded = await tuned("padded", one, seen)
  const rows = { batchSize: 1, pack: true, sequenceLength: 512 }
  const packed = await tuned("packed", { ...one, ...rows }, seen)
  t.equal(packed.tokens, padded.tokens)
  t.ok(Math.abs((losses[0] as number) - (losses[1] as number)) < 1e-5, losses.join())
})

t.test("validations that become no better end a run, which keeps the best", async (t) => {
  const worse = { lr: 1e-7, evalEvery: 1, patience: 2, steps: 40, keep: 1, schedule: "release" }
  const flat = { ...worse, warmupSteps: 0, minLr: 1e-7, clip: 1e-30 } as const
  const { isOver, stopped, best, step } = await tuned("patience", flat)
  t.ok(isOver && !stopped)
  t.equal(step, (best?.step ?? 0) + 2)
  const names = (await checkpointsIn(at("patience"))).map((path) => Number(path.slice(-8)))
  t.same(names, [best?.step, step])
})

t.test("a grid runs every combination once, and names the best", async (t) => {
  const flags = `--model ${at()} --data ${chats} --rank 2 --batch-size 8 --threads 1 --out ${at("grid")}`
  const args = ["tune", "sft", ...flags.split(" "), "--sample-every", "0", "--lr", "1e-7,0.01"]
  const first = await run([...args, "--epochs", "1"])
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /The best is .*lr-0\.01-epochs-1: validation loss [\d.]+ at update 3/)
  const [folder] = await checkpointsIn(at("grid", "lr-0.01-epochs-1"))
  const { mtimeMs } = statSync(folder as string)
  rmSync(at("grid", "lr-1e-7-epochs-1"), { recursive: true })
  const again = await run([...args, "--epochs", "1"])
  t.match(again.stdout, /step 3\/3/, "what is missing is run")
  t.equal(statSync(folder as string).mtimeMs, mtimeMs, "what is there is not")
  t.match(readFileSync(at("grid", "grid.svg"), "utf8"), /lr 1e-7, 1 epochs/)
  const other = await run([...args, "--epochs", "1", "--seed", "1"])
  t.match(other.stderr, /settings\.json is of a run with other settings/)
})

t.test("records that cannot be used are named, or counted", async (t) => {
  const bad: [object, RegExp][] = [
    [
      { question: 1 },
      /record 2: it has the fields \["question"\], expected instruction and output/,
    ],
    [{ instruction: "a", output: " " }, /record 2: output is empty, expected an answer/],
    [
      { instruction: "a".repeat(600), output: "b" },
      /its prompt has \d+ tokens, beyond the context of 512/,
    ],
    [{ messages: [turn("user", "a")] }, /record 2: every label is masked/],
  ]
  for (const [record, message] of bad) {
    writeFileSync(at("bad.jsonl"), lines([records[0] as object, record, records[1] as object]))
    await t.rejects(tuned("bad", { data: at("bad.jsonl") }), { message })
    await t.rejects(tuned("bad", { data: at("bad.jsonl") }), /--skip-bad|skipBad/)
    rmSync(at("bad"), { recursive: true, force: true })
  }
  const skipped: string[] = []
  const passing = { data: at("bad.jsonl"), skipBad: true, steps: 1, validation: 0 }
  let about: readonly string[] = []
  await tuned("passed", passing, {
    onSkip: (message) => void skipped.push(message),
    onStart: (info) => {
      about = info.about
    },
  })
  t.match(skipped, [/record 2/])
  t.match(about[1], /2 examples of .*, 1 records skipped/)
  const settings = [
    [{ dtype: "q4", adapter: "none" }, /adapter none trains weights in f32 or bf16, dtype is q4/],
    [{ batchSize: 3, accumulation: 2 }, /batchSize 3 does not make 2 equal micro-batches/],
    [{ patience: 1, validation: 0 }, /patience needs a validation/],
  ] as const
  for (const [changes, message] of settings) await t.rejects(tuned("bad", changes), { message })
})

t.test(
  "the release's recipe of adapters is a configuration, and runs are of one kind",
  async (t) => {
    const { readConfig, configsIn } = await import("../cli/line/fields.ts")
    const { checkTuneSettings } = await import("../train/tune/settings.ts")
    const { sft } = await import("../train/tune/sft.ts")
    const [file, json] = await readConfig(sft.list, configsIn("tune"), "commonsense")
    const settings = checkTuneSettings(sft, { ...json, model: "m", data: "d" }, file)
    const want = { rank: 32, dropout: 0.1, accumulate: "sum", lr: 3e-4, minLr: 3e-5, lossOn: "all" }
    t.match(settings, { ...want, warmupSteps: 1000, steps: 4375, betas: [0.9, 0.95] })
    const other = await run(["train", "--resume", at("loaded")])
    t.match(other.stderr, /state\.json is of a run of elm tune sft, not of elm train/)
  },
)

t.test("the loop of a run knows no kind of run", (t) => {
  for (const name of ["trainer", "work", "checkpoint", "log", "field_list"]) {
    const source = readFileSync(new URL(`../../train/run/${name}.ts`, import.meta.url), "utf8")
    t.notMatch(source, /from ".*(pretraining|\/tune\/|\/rso\/)/, name)
  }
  t.end()
})

t.test("examples come in the order of the original trainers", (t) => {
  const random = new PythonRandom(5)
  const order = releaseOrder(5)
  for (const epoch of [0, 1]) {
    const want = Array.from({ length: 9 }, (_, i) => i)
    random.shuffle(want)
    t.same(order(epoch, 9), want)
  }
  t.same(order(0, 9), releaseOrder(5)(0, 9), "an epoch before")
  for (const { seed, n, numpy_default_rng_permutation: once, torch_epoch_order } of fixtureJson(
    "tune/hf_schedule_and_order.json",
  ).orders) {
    const want = (torch_epoch_order[1] as number[]).map((i) => once[i])
    t.same(trainerOrder(seed)(1, n), want)
  }
  const lengths = new Array(5).fill(1)
  const stream = new ExampleStream({
    lengths,
    orderOf: () => [4, 3, 2, 1, 0],
    rows: 2,
    window: undefined,
  })
  const seen = Array.from({ length: 4 }, () => stream.next().flat())
  t.same(
    seen,
    [
      [4, 3],
      [2, 1],
      [0, 4],
      [4, 3],
    ],
    "filled with the first of its epoch",
  )
  t.equal(stream.updatesIn(5, 2), 5, "whole groups of an epoch")
  t.end()
})
