// `elm completion`: the shells' scripts, bash's run in bash; the others where they are installed.
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { whole } from "../cli/line/arguments.ts"
import { command } from "../cli/line/command.ts"
import { choice, positional, toggle, valued } from "../cli/line/flags.ts"
import { commands, elmProgram } from "../cli/program.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-completion-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const has = (shell: string): boolean => spawnSync(shell, ["-c", "exit 0"]).status === 0
const script = (shell: string): string => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [elm, "completion", shell], {
    encoding: "utf8",
  })
  if (status !== 0) throw new Error(stderr)
  const file = join(dir, shell)
  writeFileSync(file, stdout)
  return file
}

/** What bash offers for the last of the words. */
function offered(file: string, ...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(" ")
  const body =
    `source ${file}; COMP_WORDS=(elm ${line}); COMP_CWORD=${words.length}; ` +
    `_elm; printf "%s\\n" "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", body], { encoding: "utf8" })
  if (stderr) throw new Error(stderr)
  return stdout.split("\n").filter(Boolean)
}

const inBash = has("bash") ? {} : { skip: "no bash: apt-get install bash" }

t.test("bash completes commands, options and values", inBash, (t) => {
  const file = script("bash")
  const commands = [
    "bench",
    "quantize",
    "convert",
    "info",
    "train",
    "average",
    "generate",
    "tokenizer",
    "completion",
  ]
  for (const command of commands) t.ok(offered(file, "").includes(command), command)
  t.same(offered(file, "gen"), ["generate"])
  t.same(offered(file, "bench", "ro"), ["roofline"])
  t.same(offered(file, "tokenizer", "e"), ["encode"])
  t.same(offered(file, "generate", "--te"), ["--temperature"])
  t.same(offered(file, "generate", "--st"), ["--stop"])
  t.same(offered(file, "train", "--warmup-i"), ["--warmup-init-lr"])
  t.same(offered(file, "train", "--no-ch"), ["--no-checkpoint-activations"])
  t.same(offered(file, "bench", "norms", "--al"), ["--alone"])
  t.same(offered(file, "bench", "--expl"), ["--explain"], "a hidden command's are its parent's")
  t.same(offered(file, "--debug", "bench", "ops", "--fil"), ["--filter"], "after an option")
  t.same(offered(file, "generate", "--backend", ""), ["wasm", "webgpu", "js"])
  t.same(offered(file, "bench", "train", "--dtype", "b"), ["bf16"], "those of that command")
  t.same(offered(file, "bench", "--dtype", "q"), ["q8", "q4"])
  t.same(offered(file, "generate", "--model", ""), [], "a path is the shell's matter")
  t.same(offered(file, "completion", "").slice(0, 3), ["bash", "zsh", "fish"])
  t.end()
})

t.test("zsh reads its script", has("zsh") ? {} : { skip: "no zsh: apt-get install zsh" }, (t) => {
  const file = script("zsh")
  const { status, stderr } = spawnSync("zsh", ["-f", "-n", file], { encoding: "utf8" })
  t.same([status, stderr], [0, ""])
  const body =
    `compdef() { :; }; source ${file}; compadd() { shift; print -l -- $@ }; _files() { :; }; ` +
    "words=(elm bench train --dtype ''); CURRENT=5; _elm"
  t.equal(spawnSync("zsh", ["-f", "-c", body], { encoding: "utf8" }).stdout, "f32\nbf16\n")
  t.end()
})

t.test("fish completes", has("fish") ? {} : { skip: "no fish: apt-get install fish" }, (t) => {
  const file = script("fish")
  const all = (line: string): string[] => {
    const body = `source ${file}; complete -C ${JSON.stringify(line)}`
    const { stdout } = spawnSync("fish", ["--no-config", "-c", body], { encoding: "utf8" })
    return stdout.split("\n").map((each) => each.split("\t")[0] as string)
  }
  t.ok(all("elm bench ro").includes("roofline"))
  t.ok(all("elm bench norms --al").includes("--alone"))
  t.ok(all("elm bench train --dtype b").includes("bf16"))
  t.end()
})

t.test("a command that is added to the list is in help and in completion", inBash, async (t) => {
  const calls: unknown[] = []
  const sing = command({
    name: "sing",
    description: "sing a song",
    arguments: [positional("<song>", "what to sing")],
    flags: {
      voices: valued("<n>", "how many sing", whole(1), 4),
      musicalKey: choice("what to sing it in", ["c", "d"]),
      quick: toggle("without its repeats"),
    },
    run: ({ voices, musicalKey, quick }, { args: [song], given }) => {
      calls.push(song, voices, musicalKey, quick, given("voices", "musicalKey"))
    },
  })
  const program = () => elmProgram("0.0.0", [...commands, sing])
  t.match(program().helpInformation(), /completion .*\n {2}sing \[options\] <song> +sing a song\n/)
  const [help = ""] = program()
    .commands.filter((each) => each.name() === "sing")
    .map((each) => each.helpInformation())
  t.match(help, /--voices <n> +how many sing \(default: 4\)\n/)
  t.match(help, /--musical-key <name> +what to sing it in \(choices: "c", "d"\)\n/)
  const printed = t.capture(console, "log")
  await program().parseAsync(["completion", "bash"], { from: "user" })
  const file = join(dir, "more")
  writeFileSync(file, `${printed()[0]?.args[0]}`)
  t.same(offered(file, "sing", "--mu"), ["--musical-key"])
  t.same(offered(file, "sing", "--musical-key", ""), ["c", "d"])
  await program().parseAsync(["sing", "daisy", "--musical-key", "d"], { from: "user" })
  t.same(calls, ["daisy", 4, "d", undefined, "--musical-key"])
})
