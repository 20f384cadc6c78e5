// `elm generate` from outside: the text and nothing else on the standard output, the rate on the
// standard error, a clean end on Ctrl-C; and that `elm quantize` takes the tokenizer along.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { endsOf } from "./command.ts"
import { goldenFolder } from "./fixtures.ts"
import { writeSmallModel } from "./small_folder.ts"

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
  const flags = ["--seed", "1", "--max-new-tokens", "60", "--threads", "1"]
  const generated = async (...more: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ended(start("generate", prompt, ...flags, ...more))
    t.equal(code, 0, stderr)
    return stdout.slice(prompt.length, -1)
  }
  const whole = await generated()
  for (const from of [9, 26]) {
    // The middle of a word to the middle of the third after it.
    const stop = whole.slice(from, from + 12)
    t.ok(stop.includes(" "), stop)
    t.equal(await generated("--stop", stop), whole.slice(0, whole.indexOf(stop)))
  }
  const two = [whole.slice(30, 38), whole.slice(12, 20)] as const
  const first = Math.min(...two.map((stop) => whole.indexOf(stop)))
  t.equal(await generated("--stop", two[0], "--stop", two[1]), whole.slice(0, first))
  t.equal(await generated("--stop", "no such text \u2603"), whole)
})

t.test("Ctrl-C ends the text and gives the rate, with exit code 130", async (t) => {
  const child = start("generate", "On", ...model, "--backend", "js", "--max-new-tokens", "4000")
  child.stdout?.once("data", () => child.kill("SIGINT"))
  const { code, stdout, stderr } = await ended(child)
  t.equal(code, 130)
  t.match(stdout, /^On[\s\S]*\n$/)
  t.match(stderr, rate)
  t.ok(Number.parseInt(stderr, 10) < 4000, stderr)
})

t.test("a reader that goes away ends it quietly", async (t) => {
  const child = start("generate", "On", ...model, "--backend", "js", "--max-new-tokens", "4000")
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
  const text = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ended(start("generate", ...args, ...rest))
    t.equal(code, 0, stderr)
    return stdout
  }
  const greedy = await text("Begin", "--temperature", "0")
  t.equal(await text("--prompt", "Begin", "--generate_kwargs", "do_sample=False"), greedy)
  t.equal(
    await text("--prompt", "Begin", "--generate-kwargs", "num_beams=1", "use_cache=true"),
    greedy,
  )
  const unlike = [
    "--temperature",
    "0",
    "--repetition-penalty",
    "1.5",
    "--no-repeat-ngram-size",
    "2",
  ]
  const penalized = await text("Begin", ...unlike)
  t.not(penalized, greedy)
  const kwargs = ["repetition_penalty=1.5", "no_repeat_ngram_size=2", "bad_words_ids=[(3,4)]"]
  t.equal(await text("--prompt", "Begin", "--generate_kwargs", ...kwargs), penalized)
  const seeded = ["--seed", "3"]
  const drawn = await text(
    "Begin",
    ...seeded,
    "--temperature",
    "1",
    "--top-k",
    "50",
    "--top-p",
    "1",
  )
  t.equal(await text("Begin", ...seeded, "--generate_kwargs", "do_sample=True"), drawn)
})

t.test("generate searches beams, and prints continuations as lines of JSON", async (t) => {
  const several = ["--num-beams", "3", "--num-return-sequences", "2", "--max-new-tokens", "5"]
  const plain = await ended(start("generate", "Begin", ...model, ...several))
  t.equal(plain.code, 0, plain.stderr)
  t.match(plain.stdout, /^Begin[\s\S]*\n\nBegin[\s\S]*\n$/)
  t.match(plain.stderr, /^10 tokens, [\d.]+ tokens\/s; seed \d+\n$/)
  const json = [...several, "--json", "--logprobs", "2"]
  const { stdout } = await ended(start("generate", "Begin", ...model, ...json))
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
  const plain = await ended(start("generate", "Begin", ...rest))
  for (const by of [
    ["--generate_kwargs", "prompt_lookup_num_tokens=10"],
    ["--prompt-lookup-num-tokens", "4"],
    ["--assistant-early-exit", "1"],
    ["--assistant_model", dir],
  ]) {
    const { code, stdout, stderr } = await ended(start("generate", "Begin", ...rest, ...by))
    t.equal(code, 0, stderr)
    t.equal(stdout, plain.stdout, by.join(" "))
    t.match(stderr, /; \d+ of \d+ guesses held in \d+ rounds, [\d.]+ tokens a round; seed \d+\n$/)
  }
  const own = await ended(start("generate", "Begin", ...rest, "--assistant_model", dir))
  const [, held, of] = /(\d+) of (\d+) guesses/.exec(own.stderr) as RegExpExecArray
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
