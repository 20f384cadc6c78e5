// What a terminal gets, through script(1), which is one: tables as wide as it is, no line of JSON after
// them, and no control character of a name or a text. And what happens where nobody reads.
import { spawn, spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { widthOf } from "../cli/terminal/table.ts"
import { shippedModel } from "../index.ts"
import { type Ended, performs } from "./command.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-terminal-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const isHere = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0
const skip = isHere ? {} : { skip: "no script of util-linux: a Linux has it" }

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`
const plain = { ...process.env, NO_COLOR: "1" }

/** Runs at a terminal of so many columns. */
function atTerminal(columns: number, args: readonly string[], program = elm) {
  const line = [process.execPath, program, ...args].map(quoted).join(" ")
  const { status, stdout } = spawnSync(
    "script",
    ["-qec", `stty cols ${columns} rows 40; exec ${line}`, "/dev/null"],
    { cwd: dir, encoding: "utf8", env: plain, stdio: ["ignore", "pipe", "pipe"] },
  )
  // A terminal's line ends are two characters; progress clears its line before it is written.
  const text = stdout.replaceAll("\r\n", "\n").replaceAll("\r\x1b[K", "\n")
  return { status, text }
}

const roofline = ["bench", "roofline", "--model", "270M"]

t.test("a table fits the terminal, and no JSON follows it", skip, (t) => {
  for (const columns of [40, 80, 120]) {
    const { status, text } = atTerminal(columns, roofline)
    t.equal(status, 0)
    for (const line of text.split("\n")) t.ok(widthOf(line) <= columns, `${columns}: ${line}`)
    t.notMatch(text, /"schema"/)
  }
  const { text } = atTerminal(80, [...roofline, "--json"])
  t.equal(JSON.parse(text).schema, "elm-bench-roofline/1", "--json prints nothing else")
  const file = join(dir, "result.json")
  t.match(atTerminal(80, [...roofline, "--json", file]).text, /PREDICTION/)
  t.equal(JSON.parse(readFileSync(file, "utf8")).rows.length, 3)
  t.end()
})

t.test("a pipe gets all columns and a last line of JSON; with --json that alone", (t) => {
  const run = (...more: string[]) =>
    spawnSync(process.execPath, [elm, ...roofline, ...more], { encoding: "utf8" }).stdout
  const lines = run().trimEnd().split("\n")
  t.equal(JSON.parse(lines.at(-1) as string).rows.length, 3)
  t.ok(lines.length > 5)
  t.notMatch(lines.slice(0, -1).join("\n"), /without/)
  t.equal(JSON.parse(run("--json")).rows.length, 3)
  t.end()
})

/** A name that turns a terminal red, renames its window, clears it and turns lines around. */
const hostile = "a\x1b[31mred\x1b]0;x\x07\x9b2J\u202e"
const odd = /(?![\n\t\r])\p{Cc}|\p{Bidi_Control}/u

t.test("no control character of a name reaches the terminal", skip, async (t) => {
  const folder = join(dir, hostile)
  cpSync(await shippedModel(), folder, { recursive: true })
  writeFileSync(join(folder, "tokenizer.json"), "{")
  mkdirSync(join(dir, `${hostile}empty`))
  const text = join(dir, `${hostile}.txt`)
  writeFileSync(text, "a text of words ".repeat(300))
  const small = await shippedModel()
  const cases: readonly (readonly string[])[] = [
    ["bench", "--weights", folder, "--prompt", "3", "--generate", "2", "--repeat", "1"],
    ["bench", hostile],
    ["bench", "--model", hostile],
    ["bench", "ops", "--filter", hostile],
    ["bench", "ops", "--filter", "rmsNorm", "--sizes", `N=1,D=4,${hostile}=1`],
    ["bench", "perplexity", "--weights", folder, "--text", text, "--tokens", "5"],
    ["bench", "roofline", "--json", join(dir, "no", hostile)],
    ["generate", hostile, "--model", `${hostile}nowhere`],
    ["generate", hostile, "--max-new-tokens", "1", "--threads", "1"],
    ["generate", "It", "--model", folder, "--max-new-tokens", "1"],
    ["train", "--config", hostile],
    ["train", "--steps", hostile],
    ["train", "--data", text, "--steps", "1", "--layers", "1", "--out", `${hostile}run`],
    ["quantize", `${hostile}empty`, "out", "--dtype", "q4"],
    ["quantize", small, `${hostile}q4`, "--dtype", "q4"],
    ["average", `${hostile}mean`, small, hostile],
    ["tokenizer", "train", text, "--vocab-size", "270", "--out", `${hostile}.model`],
    ["tokenizer", "encode", "a", "--tokenizer", hostile],
    ["tokenizer", "decode", "30", "--tokenizer", "byte"],
    [hostile],
  ]
  const isLong = ([name, first]: readonly string[]) =>
    name === "generate" || name === "train" || first === "--weights"
  for (const args of cases.filter(isLong)) {
    const { text } = atTerminal(100, args)
    t.notMatch(text, odd, args.join(" "))
    t.not(text, "", args.join(" "))
  }
  const others = cases.filter((args) => !isLong(args))
  const { text: ends } = atTerminal(100, [JSON.stringify(others)], performs)
  for (const [i, { stdout, stderr }] of (JSON.parse(ends) as Ended[]).entries()) {
    const said = `${stdout}${stderr}`.replaceAll("\r\x1b[K", "\n")
    t.notMatch(said, odd, others[i]?.join(" ") ?? "")
    t.not(said, "")
  }
  t.match(atTerminal(80, ["tokenizer", "decode", "30", "--tokenizer", "byte"]).text, "\\x1e")
})

t.test("nobody reads: no stack, and the file is written all the same", async (t) => {
  const file = join(dir, "unread.json")
  const lines = ["--help", "bench --help", "train --help", "bench roofline", "completion bash"]
  for (const line of [...lines, `bench roofline --json ${file}`, "bench nonsense"]) {
    const child = spawn(process.execPath, [elm, ...line.split(" ")])
    child.stdout.destroy()
    let stderr = ""
    child.stderr.on("data", (data) => {
      stderr += data
    })
    const code = await new Promise((resolve) => child.on("close", resolve))
    t.equal(code, line.endsWith("nonsense") ? 2 : 141, line)
    t.notMatch(stderr, /EPIPE|^\s+at /m, line)
  }
  t.equal(JSON.parse(readFileSync(file, "utf8")).schema, "elm-bench-roofline/1")
})
