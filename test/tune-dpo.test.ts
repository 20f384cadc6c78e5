// Runs of `elm tune dpo` on a small random model: the reference is the model as the run began, kept in a file;
// stopped and resumed to the bit; records that cannot be used.
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  addAdapter,
  createPreferenceStep,
  OpenELM,
  open,
  tokenizePreference,
  tune,
} from "../index.ts"
import type { RunOptions } from "../train/run/run.ts"
import { onlyInWhole } from "./driver.ts"
import { at, ended, run, start } from "./runs.ts"
import { writeSmallModel } from "./small_folder.ts"
import t from "./tap.ts"

await writeSmallModel(at(), 512)
const turn = (role: string, content: string) => ({ role, content })
const pair = (i: number, other = "It") => ({
  chosen: [turn("user", `Say ${i % 7}.`), turn("assistant", `It is ${i % 7}.`)],
  rejected: [turn("user", `Say ${i % 7}.`), turn("assistant", other)],
})
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join("\n")
const data = at("pairs.jsonl")
writeFileSync(data, lines(Array.from({ length: 72 }, (_, i) => pair(i))))

const small = {
  ...{ model: at(), data, rank: 2, lr: 0.01, batchSize: 4, accumulation: 2, steps: 4 },
  ...{ evalEvery: 2, saveEvery: 2, logEvery: 1, sampleEvery: 0, keep: 9, threads: 1 },
  ...{ maxLength: 256, maxPromptLength: 128, validation: 0.1 },
}

async function tuned(out: string, changes: object, more: Partial<RunOptions> = {}) {
  await using backend = await open("wasm", { threads: 1 })
  const lines: Record<string, number>[] = []
  const onMetrics = (line: object) => void lines.push(line as Record<string, number>)
  const result = await tune(
    "dpo",
    { ...small, ...changes, out: at(out) },
    { backend, onMetrics, ...more },
  )
  return { ...result, lines }
}

const moments = (checkpoint: string | undefined) =>
  readFileSync(join(checkpoint as string, "optimizer.safetensors"))

const kinds = {
  adapter: { adapter: "lora", dropout: 0.1, loss: "ipo" },
  weights: { adapter: "none", lr: 0.001, loss: "hinge" },
}
for (const [kind, changes] of Object.entries(kinds)) {
  t.test(
    `a stopped run goes on to the bit, its reference computed again: ${kind}`,
    kind === "adapter" ? {} : onlyInWhole,
    async (t) => {
      const whole = await tuned(`${kind}-whole`, changes)
      const control = new AbortController()
      const stop = { signal: control.signal, onMetrics: () => control.abort() }
      t.equal((await tuned(kind, changes, stop)).step, 1)
      // As a crash leaves it: a line that is not whole.
      const file = at(kind, "reference.jsonl")
      writeFileSync(file, readFileSync(file).subarray(0, -9))
      const on = await tuned(kind, changes, { resume: at(kind) })
      t.ok(moments(on.checkpoint).equals(moments(whole.checkpoint)))
      const texts = [kind, `${kind}-whole`].map((name) => readFileSync(at(name, "reference.jsonl")))
      t.same(texts[0], texts[1])
      t.equal(String(texts[0]).split("\n").length, 38, "a head, a line for each batch of four")
      t.same(Object.keys(on.lines.at(-1) as object), [
        ...["step", "validation_loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies"],
        ...["rewards/margins", "logps/chosen", "logps/rejected"],
      ])
    },
  )
}

t.test("what a signal ends while the reference is computed goes on after it", async (t) => {
  const control = new AbortController()
  const done: number[] = []
  const onProgress = (what: string, part?: number): void => {
    if (what !== "reference") return
    done.push(part ?? 0)
    if (done.length === 3) control.abort()
  }
  const one = { steps: 1 }
  const first = await tuned("early", one, { onProgress, signal: control.signal })
  t.match(first, { step: 0, stopped: true, checkpoint: undefined })
  const file = at("early", "reference.jsonl")
  const before = readFileSync(file, "utf8")
  t.equal(before.split("\n").length, 5, "a head and three lines")
  const second = await tuned("early", one, { onProgress })
  t.equal(second.step, 1)
  t.equal(done.length, 36, "none is computed twice")
  t.ok(readFileSync(file, "utf8").startsWith(before))
  // Nothing of a run is left to be resumed where it ends before its records are read.
  const unread = await tuned("unread", one, { signal: AbortSignal.abort() })
  t.match(unread, { step: 0, stopped: true, checkpoint: undefined })
})

t.test(
  "a run that was killed, its reference half computed, goes on to the bit",
  onlyInWhole,
  async (t) => {
    const flags = `--model ${at()} --data ${data} --rank 2 --lr 0.01 --batch-size 4 --threads 1`
    const every = "--steps 8 --log-every 1 --eval-every 4 --save-every 2 --sample-every 0 --keep 9"
    const limits = "--max-length 256 --max-prompt-length 128"
    const args = ["tune", "dpo", ...[flags, every, limits].flatMap((text) => text.split(" "))]
    const whole = await run([...args, "--out", at("unkilled")])
    t.equal(whole.code, 0, whole.stderr)
    const killed = [...args, "--out", at("killed")]
    const file = at("killed", "reference.jsonl")
    const early = start(killed)
    const isHalf = (): boolean =>
      existsSync(file) && readFileSync(file, "utf8").split("\n").length > 4
    const watch = setInterval(() => isHalf() && early.kill("SIGKILL"), 1)
    t.equal((await ended(early)).code, null)
    clearInterval(watch)
    const before = readFileSync(file, "utf8")
    const late = start(killed)
    await ended(late, (stdout) => {
      if (/^step 5/m.test(stdout)) late.kill("SIGKILL")
    })
    const kept = before.slice(0, before.lastIndexOf("\n") + 1)
    t.ok(readFileSync(file, "utf8").startsWith(kept), "what was computed is not computed again")
    const on = await run(["tune", "dpo", "--resume", at("killed")])
    t.equal(on.code, 0, on.stderr)
    t.match(on.stdout, /from update \d, into/)
    for (const name of ["reference.jsonl", "step-00000008/adapter_model.safetensors"]) {
      t.same(readFileSync(at("killed", name)), readFileSync(at("unkilled", name)), name)
    }
    t.ok(moments(at("killed", "step-00000008")).equals(moments(at("unkilled", "step-00000008"))))
  },
)

t.test(
  "the reference is the adapter that a run begins with, and is read again from its file",
  async (t) => {
    const { checkpoint, lines } = await tuned("first", {})
    t.ok((lines.at(-1)?.["rewards/margins"] ?? 0) > 0.01)
    const from = { from: checkpoint }
    const next = await tuned("next", from)
    t.ok(Math.abs((next.lines[0]?.loss ?? 0) - Math.log(2)) < 1e-5, `${next.lines[0]?.loss}`)
    const path = at("next", "reference.jsonl")
    const { ino } = statSync(path)
    await tuned("next", { ...from, steps: 5 }, { resume: at("next") })
    t.equal(statSync(path).ino, ino, "not written again")
    const [head, ...kept] = readFileSync(path, "utf8").trim().split("\n")
    const lower = kept.map((line) => JSON.stringify(JSON.parse(line).map((x: number) => x - 1000)))
    writeFileSync(path, `${[head, ...lower].join("\n")}\n`)
    const used = await tuned("next", { ...from, steps: 8 }, { resume: at("next") })
    t.ok(
      used.lines.some((line) => (line["rewards/chosen"] ?? 0) > 10),
      "what the file says counts",
    )
  },
)

t.test("given references are what a step computes itself", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  const results = []
  let sums: { chosen: number; rejected: number } | undefined
  for (const reference of ["model", "given"] as const) {
    await using model = await OpenELM.load(at(), { backend })
    const adapter = await addAdapter(model, { rank: 2, targets: ["qkv_proj"] })
    const step = await createPreferenceStep(model, { adapter, beta: 0.5, reference })
    const tokens = tokenizePreference(pair(1), model.tokenizer as never)
    const first = await step([[{ ...tokens, ...(sums && { reference: sums }) }]], { lr: 0.1 })
    sums = { chosen: first.chosenLogProb, rejected: first.rejectedLogProb }
    results.push(await step([[{ ...tokens, reference: sums }]], { lr: 0.1 }))
    if (reference === "given") {
      await t.rejects(step([[tokens]], { lr: 0.1 }), /pair 0 must have a reference, such as/)
    }
    await step.close()
  }
  t.same(results[1], results[0])
})

t.test("records that cannot be used are named", async (t) => {
  const bad: [object, RegExp][] = [
    [{ prompt: "a" }, /it has the fields \["prompt"\], expected chosen and rejected/],
    [pair(1, "It is 1."), /chosen and rejected are the same answer/],
    [pair(1, " \n"), /rejected ends with an empty answer/],
    [{ ...pair(1), chosen: [turn("assistant", "a")] }, /chosen has one turn/],
  ]
  for (const [record, message] of bad) {
    writeFileSync(at("bad.jsonl"), lines([pair(0), record]))
    const file = { data: at("bad.jsonl"), validation: 0 }
    await t.rejects(tuned("bad", file), { message: /bad\.jsonl record 2: / })
    await t.rejects(tuned("bad", file), { message })
  }
  writeFileSync(at("bad.jsonl"), lines([pair(0, "a".repeat(900))]))
  const long = { data: at("bad.jsonl"), validation: 0, maxLength: 2048, maxPromptLength: 512 }
  await t.rejects(tuned("bad", long), /rejected has 9\d\d tokens .* beyond the context of 512/)
})

t.test("the release's configurations are those of its table", async (t) => {
  const want = {
    ...{ "270m": [5, 2e-5, "hinge"], "450m": [8, 3e-5, "hinge"] },
    ...{ "1_1b": [5, 5e-5, "sigmoid"], "3b": [10, 1e-4, "hinge"] },
  }
  const { readConfig, configsIn } = await import("../cli/line/fields.ts")
  const { checkTuneSettings } = await import("../train/tune/settings.ts")
  const { dpo } = await import("../train/tune/dpo.ts")
  for (const [size, [epochs, lr, loss]] of Object.entries(want)) {
    const [file, json] = await readConfig(dpo.list, configsIn("tune"), `instruct-${size}`)
    const settings = checkTuneSettings(dpo, { ...json, model: "m", data: "d" }, file)
    t.match(settings, { epochs, lr, loss, beta: 0.01, adapter: "none", dtype: "bf16", seed: 42 })
  }
  const bare = await run(["tune", "dpo", "--config", "instruct-270m"])
  t.equal(bare.code, 2)
  t.match(bare.stderr, /instruct-270m\.yaml: give model: a folder/)
})
