// `elm generate` from outside: the text and nothing else on the standard output, the rate on the
// standard error, a clean end on Ctrl-C; and that `elm quantize` takes the tokenizer along.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { endsOf } from "./command.ts"
import { goldenFolder } from "./fixtures.ts"
import { writeSmallModel } from "./small_folder.ts"
import t, { type Test } from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-generate-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const file = await writeSmallModel(dir)

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (...args: string[]): ChildProcess => spawn(process.execPath, [elm, ...args])

function ended(child: ChildProcess, input = ""): Promise<Ended> {
  const output = { stdout: "", stderr: "" }
  child.stdout?.setEncoding("utf8").on("data", (text) => (output.stdout += text))
  child.stderr?.setEncoding("utf8").on("data", (text) => (output.stderr += text))
  child.stdin?.end(input)
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...output })))
}

const model = ["--model", dir, "--threads", "1"]

/** What each of several lines prints, all run by one process. */
async function printed(t: Test, lines: readonly (readonly string[])[]): Promise<string[]> {
  const ends = await endsOf(lines.map((line) => ["generate", ...line]))
  for (const { code, stderr } of ends) t.equal(code, 0, stderr)
  return ends.map(({ stdout }) => stdout)
}

const rate = /^\d+ tokens, [\d.e+]+ tokens\/s; first after \d+ ms; seed \d+\n$/

t.test("generate continues a text, alike for one seed, in whole characters", async (t) => {
  const flags = [...model, "--max-new-tokens", "40", "--seed", "7"]
  const first = await ended(start("generate", "Begin", ...flags))
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /^Begin[\s\S]+\n$/)
  t.match(first.stderr, rate)
  t.match(first.stderr, / seed 7\n/)
  const again = await ended(start("generate", "-", ...flags), "Begin\n")
  t.equal(again.stdout, first.stdout, "from the standard input")
  const greedy = ["--temperature", "0", "--top-k", "5", "--top-p", "0.5", "--dtype", "bf16"]
  t.equal((await ended(start("generate", "é", ...model, ...greedy))).code, 0)
})

t.test("--stop ends before the first of its texts, over the borders of tokens", async (t) => {
  const prompt = "It is a truth"
  const flags = [prompt, "--seed", "1", "--max-new-tokens", "60", "--threads", "1"]
  const [text = ""] = await printed(t, [flags])
  const whole = text.slice(prompt.length, -1)
  // The middle of a word to the middle of the third after it.
  const stops = [9, 26].map((from) => whole.slice(from, from + 12))
  for (const stop of stops) t.ok(stop.includes(" "), stop)
  const two = [whole.slice(30, 38), whole.slice(12, 20)]
  const cases = [...stops.map((stop) => [stop]), two, ["no such text \u2603"]]
  const given = cases.map((stops) => [...flags, ...stops.flatMap((stop) => ["--stop", stop])])
  const wanted = cases.map((stops) => {
    const ends = stops.map((stop) => whole.indexOf(stop)).filter((end) => end >= 0)
    return whole.slice(0, Math.min(whole.length, ...ends))
  })
  const texts = (await printed(t, given)).map((text) => text.slice(prompt.length, -1))
  t.same(texts, wanted)
  t.equal(wanted.at(-1), whole)
})

/** Enough to be stopped amid them. */
const many = ["--backend", "js", "--max-new-tokens", "4000", "--min-new-tokens", "4000"]

t.test("Ctrl-C ends the text and gives the rate, with exit code 130", async (t) => {
  const child = start("generate", "On", ...model, ...many)
  child.stdout?.once("data", () => child.kill("SIGINT"))
  const { code, stdout, stderr } = await ended(child)
  t.equal(code, 130)
  t.match(stdout, /^On[\s\S]*\n$/)
  t.match(stderr, rate)
  t.ok(Number.parseInt(stderr, 10) < 4000, stderr)
})

t.test("a reader that goes away ends it quietly", async (t) => {
  const child = start("generate", "On", ...model, ...many)
  child.stdout?.once("data", () => child.stdout?.destroy())
  const { code, stderr } = await ended(child)
  t.equal(code, 0)
  t.match(stderr, rate)
})

t.test("a reader that goes away as the text ends changes nothing of how it ends", async (t) => {
  for (const tokens of ["1", "2", "3"]) {
    const child = start("generate", "On", ...model, "--max-new-tokens", tokens)
    child.stdout?.destroy()
    const { code, stderr } = await ended(child)
    t.equal(code, 0, `${tokens} tokens: ${stderr}`)
  }
})

t.test("generate takes the original's flags, and one for every processor", async (t) => {
  const rest = [...model, "--max-new-tokens", "24"]
  const unlike = [
    "--temperature",
    "0",
    "--repetition-penalty",
    "1.5",
    "--no-repeat-ngram-size",
    "2",
  ]
  const kwargs = ["repetition_penalty=1.5", "no_repeat_ngram_size=2", "bad_words_ids=[(3,4)]"]
  const sampled = ["--temperature", "1", "--top-k", "50", "--top-p", "1"]
  const [greedy, same, spelled, penalized, byKwargs, drawn, again] = await printed(
    t,
    [
      ["Begin", "--temperature", "0"],
      ["--prompt", "Begin", "--generate_kwargs", "do_sample=False"],
      ["--prompt", "Begin", "--generate-kwargs", "num_beams=1", "use_cache=true"],
      ["Begin", ...unlike],
      ["--prompt", "Begin", "--generate_kwargs", ...kwargs],
      ["Begin", "--seed", "3", ...sampled],
      ["Begin", "--seed", "3", "--generate_kwargs", "do_sample=True"],
    ].map((line) => [...line, ...rest]),
  )
  t.equal(same, greedy)
  t.equal(spelled, greedy)
  t.not(penalized, greedy)
  t.equal(byKwargs, penalized)
  t.equal(again, drawn)
})

t.test("generate searches beams, and prints continuations as lines of JSON", async (t) => {
  const several = ["--num-beams", "3", "--num-return-sequences", "2", "--max-new-tokens", "5"]
  const json = [...several, "--json", "--logprobs", "2"]
  const asked = [several, json].map((flags) => ["generate", "Begin", ...model, ...flags])
  const [plain, { stdout }] = (await endsOf(asked)) as [Ended, Ended]
  t.equal(plain.code, 0, plain.stderr)
  t.match(plain.stdout, /^Begin[\s\S]*\n\nBegin[\s\S]*\n$/)
  t.match(plain.stderr, /^10 tokens, [\d.]+ tokens\/s; seed \d+\n$/)
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  t.equal(lines.length, 2)
  t.equal(plain.stdout, lines.map(({ prompt, text }) => `${prompt}${text}\n`).join("\n"))
  t.ok(lines[0].score >= lines[1].score)
  t.equal(lines[0].logprobs.length, lines[0].ids.length)
  t.equal(lines[0].logprobs[0].top.length, 2)
})

t.test("generate guesses by the text, by first layers, by another model", async (t) => {
  const rest = [...model, "--temperature", "0", "--max-new-tokens", "60"]
  const ways = [
    ["--generate_kwargs", "prompt_lookup_num_tokens=10"],
    ["--prompt-lookup-num-tokens", "4"],
    ["--assistant-early-exit", "1"],
    ["--assistant_model", dir],
  ]
  const asked = [[], ...ways].map((by) => ["generate", "Begin", ...rest, ...by])
  const [plain, ...others] = (await endsOf(asked)) as [Ended, ...Ended[]]
  for (const [i, { code, stdout, stderr }] of others.entries()) {
    t.equal(code, 0, stderr)
    t.equal(stdout, plain.stdout, `${ways[i]}`)
    t.match(stderr, /; \d+ of \d+ guesses held in \d+ rounds, [\d.]+ tokens a round; seed \d+\n$/)
  }
  const own = others.at(-1)?.stderr ?? ""
  const [, held, of] = /(\d+) of (\d+) guesses/.exec(own) as RegExpExecArray
  t.equal(held, of, "a model guesses its own tokens")
})

t.test("generate says what is wrong", async (t) => {
  const golden = goldenFolder()
  t.teardown(golden.remove)
  const cases: readonly [string[], number, RegExp][] = [
    [["--model", join(dir, "nowhere")], 1, /nowhere/],
    [["--model", golden.path], 1, /has no tokenizer\. Give one with --tokenizer PATH/],
    [["--model", golden.path, "--tokenizer", "byte"], 1, /vocabulary of 128, its tokenizer 259/],
    [["--model", dir, "--max-new-tokens", "5000"], 2, /--max-new-tokens 5000 .* Use 4094 or less/],
    [["--top-p", "2"], 2, /above 0 and up to 1/],
    [["--temperature", "-1"], 2, /a number from 0/],
    [["--seed", "x"], 2, /whole number/],
    [["--prompt", "b"], 2, /the prompt is given twice/],
    [["--logprobs", "1"], 2, /--logprobs is printed with --json alone/],
    [
      ["--model", dir, "--assistant-early-exit", "2"],
      1,
      /is 2, expected a whole number from 1 to 1/,
    ],
    [["--min-p", "2"], 2, /argument '2' is invalid\. Expected a number from 0 to 1\./],
    [["--logit-bias", "7"], 2, /Expected a token id and a number, such as 7=-2\.5\./],
    [["--generate_kwargs", "foo"], 2, /Expected name=value, got "foo"/],
    [
      ["--model", dir, "--generate_kwargs", "foo=1"],
      2,
      /there is no "foo"\. There are: assistant_early_exit, bad/,
    ],
    [["--model", dir, "--generate_kwargs", "top_k=-1"], 1, /topK must be a whole number from 0/],
    [["--stop", ""], 2, /'--stop <text>' argument '' is invalid\. Expected a text/],
  ]
  const ends = await endsOf(cases.map(([args]) => ["generate", "a", ...args]))
  for (const [i, [args, want, message]] of cases.entries()) {
    const { code, stdout, stderr } = ends[i] as (typeof ends)[number]
    t.same([code, stdout], [want, ""], args.join(" "))
    t.match(stderr, message)
  }
})

t.test("quantize takes the tokenizer along", async (t) => {
  const out = join(dir, "q8")
  const { code, stderr } = await ended(
    start("quantize", dir, out, "--dtype", "q8", "--threads", "1"),
  )
  t.equal(code, 0, stderr)
  t.same(new Uint8Array(readFileSync(join(out, file.name))), file.bytes)
  const flags = ["--model", out, "--max-new-tokens", "3", "--threads", "1"]
  t.equal((await ended(start("generate", "a", ...flags))).code, 0)
})
