// Statistical rejection sampling on a small random model: stages that go on where they were stopped, algorithm 1
// on their files, rankers and other scorers.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs"
import { uniformAt } from "../engine/index.ts"
import {
  loadTokenizer,
  open,
  type RsoOptions,
  type RsoSettings,
  rankPairs,
  rejectionSample,
  rejectionTune,
  tune,
} from "../index.ts"
import { openRanker } from "../train/rso/score.ts"
import type { Metrics } from "../train/run/metrics.ts"
import { asked } from "../train/tune/ranker.ts"
import { onlyInWhole } from "./driver.ts"
import { at, run } from "./runs.ts"
import { writeSmallModel } from "./small_folder.ts"
import t from "./tap.ts"

await writeSmallModel(at(), 512)
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join("\n")
const data = at("prompts.jsonl")
writeFileSync(data, lines([{ prompt: "0?" }, { instruction: "1?" }, { messages: [turn("2?")] }]))
function turn(content: string, role = "user") {
  return { role, content }
}

const small: Partial<RsoSettings> = {
  ...{ model: at(), data, candidates: 6, accept: 4, maxNewTokens: 5, temperature: 2, together: 4 },
  ...{ rank: 2, batchSize: 2, sampleEvery: 0, validation: 0, threads: 1, maxLength: 256 },
  ...{ maxPromptLength: 128, pairs: "tournament", steps: 2, logEvery: 1 },
}

async function tuned(out: string, changes: Partial<RsoSettings>, more: Partial<RsoOptions> = {}) {
  await using backend = await open("wasm", { threads: 1 })
  const score = async ({ candidates }: { readonly candidates: readonly string[] }) =>
    candidates.map((text) => (text.codePointAt(0) ?? 0) / 1e4)
  const settings: Partial<RsoSettings> = { ...small, ...changes, out: at(out) }
  return await rejectionTune(settings, { backend, score, ...more })
}

const linesOf = (...path: string[]) =>
  readFileSync(at(...path), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

t.test("stages go on where they were stopped, and follow algorithm 1", async (t) => {
  const whole = await tuned("whole", {})
  t.equal(whole?.step, 2)
  const control = new AbortController()
  const onProgress = (_: string, part = 0) => void (part > 0.3 && control.abort())
  t.equal(await tuned("parts", {}, { signal: control.signal, onProgress }), undefined)
  t.equal(linesOf("parts", "candidates.jsonl").length, 2)
  appendFileSync(at("parts", "candidates.jsonl"), '{"record":3,"can')
  t.equal((await tuned("parts", {}))?.step, 2)
  for (const name of ["candidates.jsonl", "rewards.jsonl", "accepted.jsonl", "pairs.jsonl"]) {
    t.same(linesOf("parts", name), linesOf("whole", name), name)
  }
  const [candidates, rewards] = [
    linesOf("whole", "candidates.jsonl"),
    linesOf("whole", "rewards.jsonl"),
  ]
  const accepted = linesOf("whole", "accepted.jsonl")
  const pairs = linesOf("whole", "pairs.jsonl")
  for (const [i, { record, candidates: texts }] of candidates.entries()) {
    let drawn = 0
    const uniform = () => uniformAt(0, 0x52534f, record, drawn++)
    const own = rewards[i].rewards
    const order = rejectionSample({ texts, rewards: own, beta: 0.5, k: 4, uniform })
    t.same(
      accepted[i].accepted.map(({ text }: { text: string }) => text),
      order.map((n) => texts[n]),
    )
    const [winner, loser] = rankPairs(own, order, "tournament")[0] as [number, number]
    t.equal(pairs[3 * i].chosen.at(-1).content, texts[winner])
    t.equal(pairs[3 * i].rejected.at(-1).content, texts[loser])
  }
  t.equal(pairs.length, 9)
  await t.rejects(tuned("whole", { seed: 1 }), /settings\.json is of a run with other settings/)
})

t.test("what scores and what is asked for is checked", async (t) => {
  const wrong: [Partial<RsoSettings>, RegExp][] = [
    [{ accept: 3 }, /accept is 3, for tournament pairs it must be a power of 2/],
    [{ candidates: 3 }, /accept 4 exceeds the candidates 3/],
    [{ ranker: "x" }, /give ranker, a run of elm tune reward, or scorer/],
  ]
  for (const [changes, message] of wrong) await t.rejects(tuned("wrong", changes), { message })
  const scoreless = { score: async () => [1, Number.NaN] }
  await t.rejects(tuned("nan", {}, scoreless), /record 1: its rewards are \[1,.*expected 6 finite/)
  const same = { temperature: 1e-3 }
  await t.rejects(tuned("same", same), /record 1: 1 different answers, 4 to be accepted/)
})

t.test("a command scores, and one that ends early is named", async (t) => {
  const script = at("score.mjs")
  const loop = "for await (const line of createInterface({ input: process.stdin }))"
  const answer = "console.log(JSON.stringify(JSON.parse(line).candidates.map((_, i) => i / 9)))"
  writeFileSync(script, `import { createInterface } from "node:readline"\n${loop} ${answer}`)
  const flags = `--model ${at()} --data ${data} --candidates 6 --accept 4 --max-new-tokens 5 --rank 2`
  const more =
    "--temperature 2 --steps 1 --batch-size 2 --sample-every 0 --validation 0 --threads 1"
  const args = ["tune", "rso", ...flags.split(" "), ...more.split(" ")]
  const node = `"${process.execPath}"`
  const scored = await run([...args, "--scorer", `${node} "${script}"`, "--out", at("command")])
  t.equal(scored.code, 0, scored.stderr)
  t.match(scored.stdout, /pairs\.jsonl: 6 pairs of the accepted ones/)
  t.same(
    linesOf("command", "rewards.jsonl")[2].rewards,
    [0, 1, 2, 3, 4, 5].map((i) => i / 9),
  )
  const early = await run([...args, "--scorer", `${node} -e 0`, "--out", at("early")])
  t.equal(early.code, 1)
  t.match(early.stderr, /the scorer .* ended with code 0 before it had answered/)
})

t.test("a ranker is asked in either order, and learns which is better", onlyInWhole, async (t) => {
  const tokenizer = await loadTokenizer("byte")
  const prompt = [turn("Say it.")]
  const whole = asked({ prompt, a: "yes", b: "no" }, tokenizer, 512)
  const text = tokenizer.decode([...whole.a.ids].slice(1, -1))
  t.match(text, /Say it\.[\s\S]*\[RESPONSE A\]\nyes\n\[RESPONSE B\]\nno\n\[BETTER\]$/)
  t.equal(tokenizer.decode([...whole.a.ids].slice(-1)), "A")
  t.equal(tokenizer.decode([...whole.b.ids].slice(-1)), "B")
  const cut = asked({ prompt, a: "yes", b: "no" }, tokenizer, 50)
  t.same(cut.a.ids, whole.a.ids.slice(-50), "the prompt's beginning is left out")
  t.throws(() => asked({ prompt, a: "y".repeat(50), b: "no" }, tokenizer, 50), /two answers have/)

  const pairs = Array.from({ length: 24 }, (_, i) => ({
    prompt: `${i % 7}?`,
    chosen: "yes",
    rejected: "no",
  }))
  writeFileSync(at("pairs.jsonl"), lines(pairs))
  await using backend = await open("wasm", { threads: 1 })
  const found: Metrics[] = []
  const settings = { model: at(), data: at("pairs.jsonl"), out: at("ranker"), validation: 0.2 }
  const full = { adapter: "none", lr: 3e-3, steps: 160, evalEvery: 0, saveEvery: 0, sampleEvery: 0 }
  const onMetrics = (line: Metrics) => void found.push(line)
  await tune("reward", { ...settings, ...full, threads: 1 } as never, { backend, onMetrics })
  t.match(found.at(-1), { validation_accuracy: 1, validation_tokens: 8 })
  const ranker = await openRanker(at("ranker"), backend)
  const request = { prompt: [turn("3?")], candidates: ["yes", "no"], baseline: "no" }
  const [better = 0, equal = 1] = await ranker.score(request)
  const [worse = 0] = await ranker.score({ ...request, candidates: ["no"], baseline: "yes" })
  t.ok(better > 1, `${better}`)
  t.ok(Math.abs(better + worse) < 1e-4, "the other way round it is the same")
  t.ok(Math.abs(equal) < 1e-5, "an answer is as good as itself")
  await ranker.close()
})
