// Training runs from outside: resumed runs equal those that never stopped, to the bit, however they
// were ended; settings that cannot be; averages.
import { type ChildProcess, spawn } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { uniformAt } from "../engine/index.ts"
import { openCheckpoint, openModel, openSafetensors } from "../model/index.ts"
import { averaged, averageModels } from "../train/run/average.ts"
import { checkpointsIn, readRunState } from "../train/run/checkpoint.ts"
import { endsOf } from "./command.ts"
import { fixture, golden, goldenOf } from "./fixtures.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-train-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const words = "the quick brown fox jumps over the lazy dog and then sleeps".split(" ")
const line = (n: number): string =>
  Array.from(
    { length: 12 },
    (_, i) => words[Math.floor(uniformAt(5, n, 0, i) * words.length)],
  ).join(" ")
const text = join(dir, "text.txt")
writeFileSync(text, Array.from({ length: 400 }, (_, n) => line(n)).join("\n"))

const tiny = {
  layers: 2,
  dim: 32,
  head_dim: 16,
  queries_per_key: 1,
  ffn_divisor: 16,
  tokenizer: "byte",
  data: {
    sources: [text],
    validation: [text],
    pack: true,
    shuffle_windows: 16,
    normalization: "none",
  },
  sequence_length: 32,
  batch_size: 4,
  steps: 40,
  warmup_steps: 5,
  log_every: 5,
  eval_every: 20,
  eval_batches: 2,
  sample_every: 20,
  sample_tokens: 10,
  save_every: 10,
  keep: 100,
  prompt: "the ",
}

const configFile = (name: string, changes: object = {}): string => {
  const path = join(dir, `${name}.yaml`)
  writeFileSync(path, JSON.stringify({ ...tiny, ...changes, out: join(dir, name) }))
  return path
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `elm`; `watch` sees the process and what it has printed so far. */
function run(
  args: string[],
  watch?: (child: ChildProcess, stdout: string) => void,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [elm, ...args])
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (data: Buffer) => {
      stdout += data
      watch?.(child, stdout)
    })
    child.stderr.on("data", (data: Buffer) => {
      stderr += data
    })
    watch?.(child, "")
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
}

/** Every byte of a run's last checkpoint but the state's folder names, and its losses. */
async function outcome(out: string) {
  const last = (await checkpointsIn(out)).at(-1) as string
  const state = await readRunState(last)
  const metrics = readFileSync(join(out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((each) => {
      const { tokens_per_second, mul_add_fraction, ...rest } = JSON.parse(each)
      return rest
    })
  return {
    weights: readFileSync(join(last, "model.safetensors")),
    optimizer: readFileSync(join(last, "optimizer.safetensors")),
    step: state.step,
    tokens: state.tokens,
    data: state.data,
    metrics,
  }
}

t.test("a run learns, says how, and leaves checkpoints that others load", async (t) => {
  const { code, stdout, stderr } = await run(["train", "--config", configFile("whole")])
  t.equal(code, 0, stderr)
  t.match(stdout, /0\.03 M parameters in f32 \(2 layers, D 32/)
  t.match(stdout, /targets of id 258, the padding, carry no loss; row 258 of the embedding/)
  t.match(
    stdout,
    /step 5\/40 {2}loss \d\.\d+ {2}lr .* {2}norm .* {2}\d+ tok\/s \(\d+ % of mul-add\)/,
  )
  t.match(stdout, /step 40 {2}validation loss [\d.]+ {2}perplexity [\d.]+/)
  const { metrics, step } = await outcome(join(dir, "whole"))
  t.equal(step, 40)
  const losses = metrics.flatMap(({ loss }) => (loss === undefined ? [] : [loss]))
  t.equal(losses.length, 8)
  t.ok(losses.at(-1) < losses[0] - 1, `${losses[0]} to ${losses.at(-1)}`)
  const samples = metrics.flatMap(({ sample }) => (sample === undefined ? [] : [sample]))
  t.equal(samples.length, 2)
  t.match(samples[1], /^the /)
  t.match(readFileSync(join(dir, "whole", "loss.svg"), "utf8"), /^<svg[\s\S]*<\/svg>/)
  const checkpoints = await checkpointsIn(join(dir, "whole"))
  t.equal(checkpoints.length, 4)
  const folder = await openModel(checkpoints[3] as string)
  t.equal(folder.config.vocabSize, 259)
  await folder.close()
  const said = await run(["generate", "the ", "--model", checkpoints[3] as string, "--seed", "1"])
  t.match(said.stdout, /^the /)
})

t.test("kill -9 at a random update, resumed, equals never stopped", async (t) => {
  const path = configFile("killed")
  const after = 12 + Math.floor(Math.random() * 25)
  await run(["train", "--config", path, "--log-every", "1"], (child, stdout) => {
    // Behind `after` the process may get on by some updates before the signal reaches it.
    if (stdout.includes(`step ${after}/`)) child.kill("SIGKILL")
  })
  const found = (await checkpointsIn(join(dir, "killed"))).length
  t.ok(found < 4, `killed after update ${after}, with ${found} checkpoints`)
  const args = ["train", "--resume", join(dir, "killed"), "--log-every", "5"]
  const { code, stderr } = await run(args)
  t.equal(code, 0, stderr)
  const [got, want] = [await outcome(join(dir, "killed")), await outcome(join(dir, "whole"))]
  t.ok(got.weights.equals(want.weights), "weights")
  t.ok(got.optimizer.equals(want.optimizer), "moments")
  t.same(got.data, want.data)
  t.equal(got.tokens, want.tokens)
  t.same(got.metrics.at(-1), want.metrics.at(-1))
})

t.test("Ctrl-C saves and ends; one thread goes on as two did", async (t) => {
  const path = configFile("stopped")
  const first = await run(["train", "--config", path, "--threads", "2"], (child, stdout) => {
    if (stdout.includes("step 15/") && !child.killed) child.kill("SIGINT")
  })
  t.equal(first.code, 130, first.stderr)
  t.match(first.stdout, /Stopped after update \d+/)
  t.match(first.stderr, /Saving after this update/)
  const { code, stderr } = await run(["train", "--resume", join(dir, "stopped"), "--threads", "1"])
  t.equal(code, 0, stderr)
  const [got, want] = [await outcome(join(dir, "stopped")), await outcome(join(dir, "whole"))]
  t.ok(got.weights.equals(want.weights), "weights")
  t.ok(got.optimizer.equals(want.optimizer), "moments")
})

t.test("kills at any moment while checkpoints are written leave whole ones", async (t) => {
  const kills = Number(process.env.ELM_TEST_KILLS ?? 4)
  const path = configFile("shot", {
    steps: 100000,
    save_every: 1,
    eval_every: 0,
    sample_every: 0,
    keep: 3,
  })
  const out = join(dir, "shot")
  const often = ["--log-every", "100000"]
  let unreadable = 0
  let steps = 0
  for (let i = 0; i < kills; i++) {
    const begun = (await checkpointsIn(out)).length > 0
    const start = begun ? ["--resume", out] : ["--config", path]
    let isAimed = false
    await run(["train", ...start, ...often], async (child, stdout) => {
      if (stdout === "" || isAimed) return
      isAimed = true
      // Not before there is anything to damage, however slow this machine is.
      while (!begun && (await checkpointsIn(out)).length === 0 && child.exitCode === null) {
        await setTimeout(50)
      }
      await setTimeout(50 + Math.random() * 1000)
      child.kill("SIGKILL")
    })
    try {
      steps = await readable((await checkpointsIn(out)).at(-1))
    } catch (error) {
      t.comment(String(error))
      unreadable++
    }
  }
  t.equal(unreadable, 0, `${kills} kills, ${steps} updates`)
  t.ok(steps > 0, "and the run has gone on between them")
  t.ok((await checkpointsIn(out)).length <= 4)
})

/** Reads all of a checkpoint; its step. */
async function readable(path: string | undefined): Promise<number> {
  if (path === undefined) return 0
  const { step } = await readRunState(path)
  const folder = await openModel(path)
  await folder.close()
  for (const name of ["model", "optimizer"]) {
    const file = await openSafetensors(join(path, `${name}.safetensors`))
    for (const [tensor, { bytes }] of file.tensors) {
      await file.read(tensor, 0, new Uint8Array(bytes))
    }
    await file.close()
  }
  return step
}

t.test("settings that cannot be are one message", async (t) => {
  const cases: (readonly [args: string[], message: RegExp, code: number])[] = []
  const refused = (args: string[], message: RegExp, code = 1) => cases.push([args, message, code])
  const path = configFile("refused")
  refused(["--config", "nowhere"], /Cannot open nowhere: no such file/)
  refused(["--config", path, "--lr", "fast"], /--lr .*fast.* Expected a number above 0/, 2)
  refused(["--config", path, "--warmup-steps", "50"], /warmup_steps 50 exceed the 40 steps/, 2)
  refused(["--config", path, "--accumulation", "3"], /batch_size 4 does not make 3 equal/, 2)
  refused(["--config", path, "--data", join(dir, "no.txt")], /no\.txt/)
  refused(["--config", path, "--tokenizer", join(dir, "no.model")], /no such file/)
  refused(["--config", configFile("typo", { warmup: 3 })], /there is no field warmup/)
  refused(["--config", configFile("whole")], /holds a run already. Resume it/)
  refused(["--resume", dir], /holds no checkpoint/)
  refused(["--resume", join(dir, "whole"), "--lr", "1"], /--lr is 1, the run that is resumed/, 2)
  const damaged = join(dir, "damaged")
  mkdirSync(damaged)
  cpSync(
    (await checkpointsIn(join(dir, "whole"))).at(-1) as string,
    join(damaged, "step-00000040"),
    {
      recursive: true,
    },
  )
  writeFileSync(join(damaged, "step-00000040", "optimizer.safetensors"), "{}")
  refused(["--resume", damaged], /optimizer\.safetensors/)
  const ends = await endsOf(cases.map(([args]) => ["train", ...args]))
  for (const [i, { code, stderr, stdout }] of ends.entries()) {
    const [, message, want] = cases[i] as (typeof cases)[number]
    t.equal(code, want, stdout)
    t.match(stderr, message)
    const lines = stderr.trim().split("\n")
    t.equal(lines.filter((line) => line !== "(elm --help lists the options)").length, 1, stderr)
  }
})

t.test("averages are the original's, to the bit", async (t) => {
  const files = await Promise.all(
    [0, 1, 2].map((i) => openCheckpoint(fixture(`average/input_${i}.safetensors`))),
  )
  const want = await golden("average/expected.safetensors")
  const got = averaged(files)
  t.equal(got.size, want.size)
  for (const [name, { data }] of got) {
    const values: number[] = []
    for await (const piece of data as AsyncIterable<Float32Array>) values.push(...piece)
    t.same(values, [...goldenOf(want, name).values], name)
  }
  for (const file of files) await file.close()
  const out = join(dir, "average")
  const { code, stdout, stderr } = await run(["average", out, join(dir, "whole")])
  t.equal(code, 0, stderr)
  t.match(stdout, /average of 4 checkpoints/)
  t.ok(existsSync(join(out, "tokenizer.json")) || readdirSync(out).length >= 3)
  const folder = await openModel(out)
  await folder.close()
  await t.rejects(averageModels([out], join(dir, "one")), /two or more/)
})
