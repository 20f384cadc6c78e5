// The command line: numbers as people write them for every option that takes one, wrong usage with exit
// code 2 wherever it is found, and paths that lead nowhere without a word of the system's own.
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Command } from "commander"
import { suggestion } from "../cli/line/arguments.ts"
import { elmProgram } from "../cli/program.ts"
import { shippedModel } from "../index.ts"
import { bytesText, decimal, threeDigits } from "../model/index.ts"
import { type Ended, endsOf } from "./command.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-usage-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const small = await shippedModel()

const run = (args: readonly string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, [elm, ...args], { cwd: dir }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr })
    })
  })

const below = (command: Command): Command[] => [command, ...command.commands.flatMap(below)]
const commands = below(elmProgram("0.0.0"))

t.test("numbers are numbers: every option that takes one", (t) => {
  let count = 0
  for (const command of commands) {
    for (const { long, parseArg } of command.options) {
      const parse = (text: string): unknown => parseArg?.(text, undefined)
      const taken = ["0.5", "1", "2", "16", "36", "300"].find((text) => {
        try {
          return parse(text) === Number(text)
        } catch {
          return false
        }
      })
      if (taken === undefined) continue
      count++
      const name = `${command.name()} ${long}`
      const value = Number(taken)
      const same = [`${10 * value}e-1`, `${value / 10}E1`, `${value}e0`, `+${value}e+0`]
      for (const text of same) t.equal(parse(text), value, `${name} ${text}`)
      for (const odd of [
        "1e",
        "e1",
        "0x10",
        "NaN",
        "Infinity",
        "-",
        "1_0",
        "1,0",
        "1e999",
        "one",
      ]) {
        // A name, or two numbers, may be what an option takes besides.
        const other = /--(validation|filter|only)$/.test(long ?? "") && Number.isNaN(decimal(odd))
        if (!other)
          t.throws(() => parse(odd), { code: "commander.invalidArgument" }, `${name} ${odd}`)
      }
    }
  }
  t.ok(count > 40, `${count} options`)
  const betas = commands.flatMap(({ options }) => options).find(({ long }) => long === "--betas")
  t.same(betas?.parseArg?.("9e-1,.95", undefined), [0.9, 0.95], "two numbers")
  t.end()
})

t.test("amounts are printed with three digits, never an exponent", (t) => {
  const rates = [0, 0.00123, 0.5, 1, 9.994, 62.35, 99.96, 1050.4, 1.05e7].map(threeDigits)
  t.same(rates, ["0", "0.00123", "0.500", "1.00", "9.99", "62.4", "100.0", "1050", "10500000"])
  const sizes = [0, 12, 999, 1536, 1e6, 5.4e6, 1.2e9, 6e12].map(bytesText)
  t.same(sizes, ["0 B", "12 B", "999 B", "1.50 KiB", "977 KiB", "5.15 MiB", "1.12 GiB", "5.46 TiB"])
  const numbers = ["1e3", ".5", "5.", "-2E-1", "", "e3", "0x1", " 1", "1 ", "Infinity"].map(decimal)
  t.same(numbers, [1000, 0.5, 5, -0.2, ...Array(6).fill(Number.NaN)])
  t.end()
})

t.test("a word that is near another is suggested, any other is not", (t) => {
  t.equal(suggestion("norm", ["train", "norms"]), " (Did you mean norms?)")
  t.equal(suggestion("rooflien", ["roofline"]), " (Did you mean roofline?)")
  t.equal(suggestion("nonsense", ["norms", "train", "ops", "drive"]), "")
  t.end()
})

const text = join(dir, "text.txt")
writeFileSync(text, "some text of a few words\n".repeat(200))
mkdirSync(join(dir, "folder"))
const wrongConfig = join(dir, "wrong.yaml")
writeFileSync(wrongConfig, "layers: 1\ndim: 32\nbatch_size: 3\naccumulation: 2\n")

t.test("wrong usage exits with 2 also where it is found after parsing", async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["bench nonsense", /unknown command 'elm bench nonsense'\. There are: table, norms, train/],
    ["bench norm", /unknown command 'elm bench norm' \(Did you mean norms\?\)/],
    ["bench nonsense --filter x", /unknown command 'elm bench nonsense'/],
    ["benhc", /unknown command 'benhc'\n\(Did you mean bench\?\)/],
    ["tokenizer nonsense", /unknown command 'nonsense'/],
    ["bench norms more", /too many arguments for 'norms'/],
    ["bench --weights folder --model 270M", /--model has no effect: --weights names a model/],
    ["bench --weights folder --seed 3", /--seed has no effect/],
    ["bench --paper --generate 5", /--paper generates 1024 tokens/],
    ["bench --paper --seed 5", /--seed is of one model: --paper alone measures the tables/],
    ["bench table 9", /Allowed choices are 7a, 7b, 8, all/],
    ["bench table 8 --quick --repeat 3", /--quick has lengths of its own, got --repeat/],
    ["bench --prompt 2000 --generate 100", /--prompt 2000 and --generate 100 .*Use --generate 48/],
    ["bench norms --prompt 3e3", /--prompt 3000 .*the context of OpenELM-270M holds: 2048/],
    ["bench norms --alone --prompt 5", /--alone has no model, got --prompt/],
    ["bench train --only small", /There is no small\b.*There are: small-512/],
    ["bench ops --filter rmsNorm,sing", /There is no sing\. There are: add, /],
    ["bench ops --sizes N=1", /--sizes are those of some ops. Name them with --filter/],
    ["bench ops --filter rmsNorm --sizes N=8,D=4", /rmsNorm: eps is missing.*It takes N, D, eps/],
    ["bench ops --filter rmsNorm --sizes N=8,Q=4,eps=1", /rmsNorm: there is no Q\. It takes N, D/],
    ["bench ops --filter rmsNorm --sizes N=1.5,D=4,eps=1", /N is 1\.5, expected whole numbers/],
    ["bench ops --filter rmsNorm --sizes N=f32,D=4,eps=1", /N is f32, expected a number/],
    ["bench ops --filter rmsNorm --sizes N=1e9,D=1e9,eps=1", /x would hold 1000000000000000000/],
    ["bench ops --filter matmul --sizes M=1,K=8,P=2,N=300,wType=f32", /--sizes: matmul: /],
    ["bench ops --filter add --sizes a=3·4,b=5", /--sizes: add: /],
    ["bench ops --filter rmsNorm --sizes N", /Expected NAME=VALUE/],
    ["generate It --max-new-tokens 1e5", /--max-new-tokens 100000 .*Use \d+ or less/],
    ["train --steps abc", /'abc' is invalid. Expected a whole number from 1/],
    ["train --lr -1", /'-1' is invalid. Expected a number above 0/],
    ["train --accumulate some", /'some' is invalid/],
    ["train --model 7B", /7B/],
    ["train --resume folder --config austen", /leave --config out/],
    ["train --steps 5 --warmup-steps 6", /warmup_steps 6 exceed the 5 steps/],
    ["tune sft --model m --data d.json --from a --rank 3", /--rank has no effect: what --from has/],
    ["train --eval-every 0 --eval-batches 3", /--eval-batches has no effect: --eval-every is 0/],
    ["train --batch-size 3 --accumulation 2", /does not make 2 equal micro-batches/],
    ["quantize folder --dtype q4", /missing required argument 'out'/],
    ["quantize folder out", /required option '--dtype <name>'/],
    ["average out", /missing required argument 'checkpoints'/],
    ["tokenizer encode hi", /required option '--tokenizer <path>'/],
    ["tokenizer train --out x", /missing required argument 'files'/],
    ["completion tcsh", /Allowed choices are bash, zsh, fish/],
  ]
  const ends = await endsOf(cases.map(([line]) => line.split(" ")))
  for (const [i, [line, message]] of cases.entries()) {
    const { code, stdout, stderr } = ends[i] as Ended
    t.same([code, stdout], [2, ""], line)
    t.match(stderr, message, line)
    t.notMatch(stderr, /^\s+at /m)
  }
  const wrong = await run(["train", "--config", wrongConfig, "--steps", "5"])
  t.equal(wrong.code, 1, "what is wrong with a file is no usage")
  t.match(wrong.stderr, /wrong\.yaml: batch_size 3 does not make/)
})

/** What takes a path: the words around it. */
const pathsIn: readonly (readonly [before: string, after: string, isWritten?: boolean])[] = [
  ["bench --weights", "--prompt 3 --generate 2 --repeat 1"],
  ["bench roofline --model 270M --json", "", true],
  ["bench perplexity --text text.txt --weights", ""],
  [`bench perplexity --weights ${small} --text`, "--tokens 5"],
  ["generate hi --model", ""],
  ["generate hi --tokenizer", ""],
  ["train --config", ""],
  ["train --resume", ""],
  ["train --steps 1 --out run --init", ""],
  ["train --steps 1 --out run --data", ""],
  ["train --steps 1 --out run --data text.txt --validation", ""],
  ["train --steps 1 --out run --tokenizer", ""],
  ["train --steps 1 --out", "", true],
  ["quantize", "q4 --dtype q4"],
  [`quantize --dtype q4 ${small}`, "", true],
  ["average", `${small} ${small}`, true],
  ["average mean", ""],
  ["average mean", small],
  ["tokenizer train --out new.model", ""],
  ["tokenizer train text.txt --out", "", true],
  ["tokenizer encode hi --tokenizer", ""],
  ["tokenizer decode 5 --tokenizer", ""],
]

// What might be a name on the hub is not asked for.
process.env.HF_HUB_OFFLINE = "1"

t.test("a path that leads nowhere is named in words, and nothing is left", async (t) => {
  const odd = ["nothing", "folder", "text.txt/x", "/dev/full", "nothing/x"]
  const before = readdirSync(dir).sort()
  const lines = pathsIn.flatMap(([first, after, isWritten]) =>
    odd
      .filter((path) => !isWritten || !/^(nothing|folder|\/dev)/.test(path) || path === "nothing/x")
      // A new folder within one that is not there is made.
      .filter((path) => path !== "nothing/x" || !/^quantize --|--out$|^average$/.test(first))
      .map((path) => ({ path, args: [first, path, after].flatMap((each) => each.split(" ")) })),
  )
  const args = lines.map((line) => line.args.filter(Boolean))
  for (const [i, { code, stderr }] of (await endsOf(args, dir)).entries()) {
    const line = `${args[i]?.join(" ")}`
    t.equal(code, 1, `${line}: ${stderr}`)
    t.match(stderr, lines[i]?.path, line)
    t.notMatch(stderr, /\bE[A-Z]{3,}\b|illegal|^\s+at |undefined|TypeError/m, line)
  }
  t.same(readdirSync(dir).sort(), before)
})

t.test("an empty path is wrong usage", async (t) => {
  const lines = pathsIn.map(([first, after]) => [
    ...first.split(" "),
    "",
    ...after.split(" ").filter(Boolean),
  ])
  for (const [i, { code, stderr }] of (await endsOf(lines, dir)).entries()) {
    t.equal(code, 2, `${lines[i]?.join(" ")}`)
    t.match(stderr, /Expected a path/)
  }
})
