// Tuning by several ranks: to the bit what one process does with as many micro-batches, for each objective; the
// stages of rejection sampling, gone on with by another number; the command with MPI.
import { readFileSync, writeFileSync } from "node:fs"
import { type RsoOptions, type RsoSettings, ranksInMemory, rejectionTune, tune } from "../index.ts"
import { mpirun, noOpenMpi, ofOpenMpi } from "./launchers.ts"
import { at, run } from "./runs.ts"
import t from "./tap.ts"
import { backend, lines, small, tuned } from "./tuning.ts"

t.teardown(() => backend.close())

const kinds = {
  sft: { data: at("alpaca.jsonl"), adapter: "dora", dropout: 0.2, pack: true, sequenceLength: 256 },
  dpo: { data: at("pairs.jsonl"), adapter: "none" },
  reward: { data: at("pairs.jsonl"), sequenceLength: 256, steps: 2 },
} as const
for (const name of ["sft", "dpo", "reward"] as const) {
  t.test(`two ranks of ${name} are two micro-batches of one process`, async (t) => {
    const one = await tuned(name, `${name}-one`, { ...kinds[name], accumulation: 2 })
    const two = await tuned(name, `${name}-two`, kinds[name], ranksInMemory(2))
    t.same(two, one)
    t.ok(one.lines.some((line) => "validation_loss" in line))
    if (name !== "dpo") return
    const [own, shared] = ["one", "two"].map((of) => readFileSync(at(`dpo-${of}/reference.jsonl`)))
    t.same(shared, own)
    const resume = at("dpo-two", "step-00000001")
    const last = await tuned("dpo", "dpo-on", { ...kinds.dpo, accumulation: 2 }, [], { resume })
    t.same(last.files, one.files, "gone on with by one")
  })
}

t.test("one rank that is to end before the first update ends all", async (t) => {
  const control = new AbortController()
  const onProgress = (what: string) => void (what === "reference" && control.abort())
  const settings = { ...small, ...kinds.dpo, out: at("early") }
  const results = await Promise.all(
    ranksInMemory(2).map((ranks) =>
      tune("dpo", settings, {
        ...{ backend, ranks },
        ...(ranks.rank === 1 && { onProgress, signal: control.signal }),
      }),
    ),
  )
  for (const each of results) t.match(each, { step: 0, stopped: true, checkpoint: undefined })
  const kept = readFileSync(at("early", "reference.jsonl"), "utf8")
  const whole = readFileSync(at("dpo-one", "reference.jsonl"), "utf8")
  t.equal(kept.split("\n").length, 4, "a head and a line of each")
  t.ok(whole.startsWith(kept))
})

const prompts = at("prompts.jsonl")
writeFileSync(prompts, lines(["0?", "1?", "2?", "3?", "4?"].map((prompt) => ({ prompt }))))
const sampling: Partial<RsoSettings> = {
  ...{ model: at(), data: prompts, candidates: 6, accept: 4, maxNewTokens: 5, temperature: 2 },
  ...{ rank: 2, batchSize: 2, sampleEvery: 0, validation: 0, threads: 1, maxLength: 256 },
  ...{ maxPromptLength: 128, steps: 2, logEvery: 1 },
}
const score = async ({ candidates }: { readonly candidates: readonly string[] }) =>
  candidates.map((text) => (text.codePointAt(0) ?? 0) / 1e4)
const sampled = (out: string, size: number, more: Partial<RsoOptions> = {}, changes = {}) =>
  Promise.all(
    (size > 1 ? ranksInMemory(size) : [undefined]).map((ranks) =>
      rejectionTune(
        { ...sampling, ...changes, out: at(out) },
        { backend, score, ...more, ...(ranks && { ranks }) },
      ),
    ),
  )
const stages = ["candidates", "rewards", "accepted", "pairs"].map((name) => `${name}.jsonl`)
const stagesOf = (out: string) => stages.map((name) => readFileSync(at(out, name), "utf8"))

t.test("stages of rejection sampling are the files of one process", async (t) => {
  await sampled("rso-one", 1, {}, { accumulation: 2 })
  const control = new AbortController()
  const onProgress = (_: string, part = 0) => void (part > 0.3 && control.abort())
  const stopped = await sampled("rso", 2, { signal: control.signal, onProgress })
  t.same(stopped, [undefined, undefined])
  const kept = readFileSync(at("rso", "candidates.jsonl"), "utf8")
  t.equal(kept.split("\n").length, 5, "two at a time, until one was asked to end")
  const [last] = await sampled("rso", 1)
  t.equal(last?.step, 2)
  t.same(stagesOf("rso"), stagesOf("rso-one"), "gone on with by one")
  const [first, second] = await sampled("rso-two", 2, {}, { shard: "full" })
  t.equal(first?.step, second?.step)
  t.same(stagesOf("rso-two"), stagesOf("rso-one"))
  const [own, shared] = ["rso-one", "rso-two"].map((out) =>
    readFileSync(at(out, "dpo", "step-00000002", "adapter_model.safetensors")),
  )
  t.same(shared, own)
  const bad = async () => [Number.NaN]
  const failed = await Promise.allSettled(
    ranksInMemory(2).map((ranks) =>
      rejectionTune(
        { ...sampling, out: at("rso-bad") },
        { backend, ranks, score: ranks.rank === 1 ? bad : score },
      ),
    ),
  )
  const messages = failed.map((each) => (each as PromiseRejectedResult).reason.message)
  t.match(messages[1], /^rank 1 of 2: record 2: its rewards are .* What was made is in /)
  t.match(messages[0], /record 2: its rewards are/)
  t.equal(readFileSync(at("rso-bad", "rewards.jsonl"), "utf8").split("\n").length, 2)
})

t.test("the command does so by processes of MPI", { skip: noOpenMpi }, async (t) => {
  const script = at("score.mjs")
  const loop = "for await (const line of createInterface({ input: process.stdin }))"
  const rewards = "candidates.map((text) => (text.codePointAt(0) ?? 0) / 1e4)"
  const answer = `console.log(JSON.stringify(JSON.parse(line).${rewards}))`
  writeFileSync(script, `import { createInterface } from "node:readline"\n${loop} ${answer}`)
  const flags = `--model ${at()} --data ${prompts} --candidates 6 --accept 4 --max-new-tokens 5 --rank 2`
  const more =
    "--temperature 2 --steps 2 --batch-size 2 --sample-every 0 --validation 0 --threads 1"
  const limits = "--max-length 256 --max-prompt-length 128 --log-every 1 --out command"
  const given = [flags, more, limits].flatMap((text) => text.split(" "))
  const scorer = `"${process.execPath}" "${script}"`
  const two = await mpirun(ofOpenMpi, 2, ["tune", "rso", ...given, "--scorer", scorer])
  t.equal(two.code, 0, two.stderr)
  t.same(stagesOf("command"), stagesOf("rso-one"))
  t.match(two.stdout, /2 processes, joined by Open MPI v[\d.]+, with 1 × 1 samples of an update/)
  t.equal(two.stdout.match(/pairs\.jsonl: 10 pairs of the accepted ones/g)?.length, 1)
  const grid = ["tune", "sft", "--model", at(), "--data", prompts, "--lr", "1e-3,1e-4"]
  const refused = await run([...grid, "--processes", "2"])
  t.equal(refused.code, 2)
  t.match(refused.stderr, /^error: a grid is made by one process\. Give one lr and one epochs/)
})
