// What a run may touch in its folder, and what it may not: other people's files, another run's
// checkpoints, its own when something goes wrong.
import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import { RunFolder } from "../train/run/folder.ts"
import { at, dir, elm, ended, flags, run, start, text, train } from "./runs.ts"
import t from "./tap.ts"

t.test("a folder's other files stay, whatever they are called", async (t) => {
  const mine = at("mine")
  const names = [".old.thesis", ".step-1.notes", ".step-00000004.1234.tmp", "step-by-step", "a.tmp"]
  for (const name of names) {
    mkdirSync(join(mine, name), { recursive: true })
    writeFileSync(join(mine, name, "text"), name)
  }
  const args = ["train", ...flags, "--steps", "6", "--save-every", "2", "--keep", "1", "--out", "."]
  const { code, stderr } = await run(args, mine)
  t.equal(code, 0, stderr)
  const left = readdirSync(mine).sort()
  t.same(left, [...names, "loss.svg", "metrics.jsonl", "step-00000006"].sort())
  for (const name of names) t.equal(readFileSync(join(mine, name, "text"), "utf8"), name)
  const refused = await run([...args.slice(0, -1), "."], mine)
  t.equal(refused.code, 1, "a second run into it")
  t.match(refused.stderr, /holds a run already/)
  t.same(readdirSync(mine).sort(), left)
})

t.test(
  "what has a checkpoint's name and is none is neither removed nor written over",
  async (t) => {
    mkdirSync(at("taken", "step-00000002"), { recursive: true })
    writeFileSync(at("taken", "step-00000002", "poem"), "mine")
    const { code, stderr } = await train(...flags, "--steps", "4", "--out", at("taken"))
    t.equal(code, 1)
    t.match(stderr, /step-00000002 has the name of a checkpoint, and is none\. Give another --out/)
    t.same(readdirSync(at("taken")), ["step-00000002"], "and a refused run leaves nothing")
    t.equal(readFileSync(at("taken", "step-00000002", "poem"), "utf8"), "mine")

    await train(...flags, "--steps", "4", "--save-every", "2", "--out", at("noted"))
    writeFileSync(at("noted", "step-00000002", "my notes"), "mine")
    const more = ["--resume", at("noted"), "--steps", "8", "--keep", "1"]
    t.equal((await train(...more)).code, 0)
    const left = readdirSync(at("noted")).filter((name) => name.startsWith("step-"))
    t.same(left, ["step-00000002", "step-00000008"], "one with a file of somebody's own stays")
  },
)

t.test("a refused run leaves nothing behind", async (t) => {
  const cases = [
    [1, "--data", at("no such.txt")],
    [2, "--init", at("nowhere")],
    [1, "--vocab-size", "10"],
  ] as const
  for (const [expected, ...args] of cases) {
    const all = [...flags, "--out", at("none", "run"), ...args, "--steps", "2"]
    const { code, stderr } = await train(...all)
    t.equal(code, expected, stderr)
    t.notOk(existsSync(at("none", "run")), stderr)
  }
})

// ---- Two runs -------------------------------------------------------------------------------------

t.test("a folder is one run's at a time", async (t) => {
  const out = at("shared")
  const first = start(["train", ...flags, "--steps", "100000", "--out", out])
  const end = ended(first)
  const lock = join(out, ".elm-run", "lock.json")
  while (!existsSync(lock)) await new Promise((resolve) => setTimeout(resolve, 20))
  const second = await train(...flags, "--steps", "2", "--out", out)
  t.equal(second.code, 1)
  const who = `${out} is in use by process ${first.pid} on ${hostname()}, since `
  t.ok(second.stderr.includes(who), second.stderr)
  t.match(second.stderr, /give another --out; if that process is no more, remove .*lock\.json/)
  t.ok(existsSync(lock), "the first one's lock stays")
  first.kill("SIGKILL")
  await end
  t.ok(existsSync(lock), "a killed run leaves its lock")
  const third = await train(...flags, "--steps", "2", "--out", out)
  t.equal(third.code, 0, third.stderr)
  t.notOk(existsSync(join(out, ".elm-run")), "which the next takes over, and gives free")
})

t.test("locks of other machines, of numbers used again, and what is none", async (t) => {
  const out = at("locked")
  const own = join(out, ".elm-run")
  const held = await RunFolder.open(out)
  await t.rejects(RunFolder.open(out), { message: /in use by process \d+ on/ }, "by this process")
  const lock = JSON.parse(readFileSync(join(own, "lock.json"), "utf8"))
  await held.check()
  const write = (changes: object) =>
    writeFileSync(join(own, "lock.json"), JSON.stringify({ ...lock, ...changes }))
  write({ id: "0123456789abcdef", host: "elsewhere" })
  await t.rejects(held.check(), { message: /is not this run's any more: process \d+ on elsewhere/ })
  await held.close()
  t.ok(existsSync(join(own, "lock.json")), "another's lock is not removed")
  await t.rejects(RunFolder.open(out), { message: /in use by process \d+ on elsewhere/ })
  // The number of a process that began at another time.
  if (lock.started !== "") {
    write({ id: "0123456789abcdef", started: `${lock.started}1` })
    mkdirSync(join(own, "step-00000007.0123456789abcdef"))
    mkdirSync(join(own, "step-00000007.fedcba9876543210"))
    const next = await RunFolder.open(out)
    t.same(readdirSync(own).sort(), ["lock.json", "step-00000007.fedcba9876543210"])
    await next.close()
  }
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, "lock.json"), "something else")
  await t.rejects(RunFolder.open(out), { message: /lock\.json/, name: "SyntaxError" })
  t.equal(readFileSync(join(own, "lock.json"), "utf8"), "something else")
})

t.test("checkpoints of a model with defaults of generation are a run's own", async (t) => {
  await train(...flags, "--steps", "1", "--out", at("first"))
  const init = at("first", "step-00000001")
  writeFileSync(join(init, "generation_config.json"), '{"do_sample": true, "top_k": 5}')
  const data = flags.slice(flags.indexOf("--sequence-length"))
  const args = ["--init", init, "--steps", "4", "--save-every", "1", "--keep", "2"]
  const { code, stderr } = await train(...data, ...args, "--threads", "1", "--out", at("kept"))
  t.equal(code, 0, stderr)
  const left = readdirSync(at("kept")).filter((name) => name.startsWith("step-"))
  t.same(left, ["step-00000003", "step-00000004"], "the older ones go")
  t.ok(existsSync(at("kept", "step-00000004", "generation_config.json")))
})

t.test("what is in the place of a lock is said, and stays", async (t) => {
  const open = (name: string) => RunFolder.open(at("odd", name))
  mkdirSync(at("odd", "folder", ".elm-run", "lock.json"), { recursive: true })
  await t.rejects(open("folder"), { message: /lock\.json cannot be read as the lock of a run/ })
  mkdirSync(at("odd", "file"))
  writeFileSync(at("odd", "file", ".elm-run"), "mine")
  await t.rejects(open("file"), { message: /^Cannot make .*\.elm-run, in which a run works/ })
  t.equal(readFileSync(at("odd", "file", ".elm-run"), "utf8"), "mine")
  const owner = { openelm: "lock of a training run", id: "0123456789abcdef", pid: 2 ** 22 + 1 }
  const whole = { ...owner, host: hostname(), started: "gone", since: "2026-01-01" }
  const wrong = [
    ...[-1, 0, 1.5, "7", null].map((pid) => ({ pid })),
    ...[undefined, 5, null, "x".repeat(300)].map((host) => ({ host })),
    { started: undefined },
    { since: {} },
  ]
  for (const [i, fields] of wrong.entries()) {
    mkdirSync(at("odd", `lock ${i}`, ".elm-run"), { recursive: true })
    const lock = at("odd", `lock ${i}`, ".elm-run", "lock.json")
    writeFileSync(lock, JSON.stringify({ ...whole, ...fields }))
    const message = /lock\.json is no lock of a training run/
    await t.rejects(open(`lock ${i}`), { message }, JSON.stringify(fields))
    t.ok(existsSync(lock))
  }
})

// ---- Output ---------------------------------------------------------------------------------------

const full = existsSync("/dev/full") ? false : "no /dev/full here"

t.test("output that cannot be written ends no training", { skip: full }, async (t) => {
  for (const stream of ["stdout", "stderr", "both"]) {
    const sink = openSync("/dev/full", "w")
    const [out, err] = [stream !== "stderr", stream !== "stdout"].map((is) => (is ? sink : "pipe"))
    const args = ["train", ...flags, "--steps", "6", "--log-every", "1", "--out", at(stream)]
    const { status, stdout, stderr } = spawnSync(process.execPath, [elm, ...args], {
      stdio: ["ignore", out, err],
      encoding: "utf8",
    })
    t.equal(status, 0, stream)
    t.notMatch(`${stdout}${stderr}`, /^\s+at /m, "no stack")
    t.equal((await checkpointsIn(at(stream))).length, 1)
    if (stream === "stdout")
      t.match(stderr, /^Not all of the output could be written: the disk is full/m)
  }
})

t.test("a result that cannot be written is no success", { skip: full }, (t) => {
  const model = fileURLToPath(new URL("../../models/small", import.meta.url))
  for (const args of [["tokenizer", "encode", "text", "--tokenizer", model], ["--help"]]) {
    const stdio = ["ignore", openSync("/dev/full", "w"), "pipe"] as const
    const { status, stderr } = spawnSync(process.execPath, [elm, ...args], {
      stdio: [...stdio],
      encoding: "utf8",
    })
    t.equal(status, 1, args.join(" "))
    t.match(stderr, /^Not all of the output could be written: the disk is full\n$/)
  }
  t.end()
})

// ---- Commands that are stopped --------------------------------------------------------------------

t.test("a stopped command leaves nothing in the way of the next", async (t) => {
  await train(...flags, "--steps", "2", "--save-every", "1", "--out", at("two"))
  const model = fileURLToPath(new URL("../../models/small", import.meta.url))
  const tokenizer = ["tokenizer", "train", text, "--vocab-size", "300", "--out", at("t.model")]
  const commands: [string[], string][] = [
    [["quantize", model, at("q"), "--dtype", "q8", "--threads", "1"], at("q")],
    [["average", at("mean"), at("two")], at("mean")],
    [tokenizer, at("t.model")],
  ]
  for (const [args, out] of commands) {
    const killed = { SIGINT: 130, SIGTERM: 143, SIGKILL: null }
    for (const [signal, after] of [
      ["SIGINT", 300],
      ["SIGTERM", 200],
      ["SIGKILL", 150],
    ] as const) {
      const child = start(args)
      const end = ended(child)
      setTimeout(() => child.kill(signal), after)
      const { code } = await end
      if (code === 0) t.ok(existsSync(out), "it was done")
      // A signal may come when all is done already.
      const made =
        existsSync(out) && statSync(out).isDirectory() ? readdirSync(out) : ["config.json"]
      t.ok(
        made.includes("config.json"),
        `${args[0]} ${signal} after ${after} ms: nothing half-written`,
      )
      // Before its handlers are there, a signal ends a process by itself.
      t.ok([0, killed[signal], null].includes(code), `${args[0]} ${signal}: ${code}`)
      rmSync(out, { recursive: true, force: true })
    }
    const again = await run(args)
    t.equal(again.code, 0, again.stderr)
  }
  const temporary = readdirSync(dir).filter((name) => name.endsWith(".tmp"))
  for (const name of temporary) t.match(name, /\.[0-9a-z]+\.tmp$/, "only what was killed at once")
})
