// Runs of several processes, joined by the system's MPI: the same files as of one process, with Open MPI and
// with MPICH; resumed by fewer; what is said where one dies or hangs, or where there is no MPI.
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import module from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import {
  childrenOf,
  environment,
  mpirun as launched,
  noMpich,
  noOpenMpi,
  ofMpich,
  ofOpenMpi,
  without,
} from "./launchers.ts"
import { at, type Ended, elm, ended, run } from "./runs.ts"
import t, { type Test } from "./tap.ts"

const words = "the quick brown fox jumps over the lazy dog and then sleeps".split(" ")
for (const file of [0, 1, 2, 3]) {
  const lines = Array.from({ length: 200 }, (_, i) =>
    [0, 1, 2, 3, 4].map((k) => words[(i * (k + file + 1) + k) % words.length]).join(" "),
  )
  writeFileSync(at(`text-${file}.txt`), lines.join("\n"))
}
const sources = [0, 1, 2, 3].map((i) => `text-${i}.txt`)
const data = {
  sources,
  validation: [sources[0]],
  min_characters: 0,
  min_tokens: 0,
  words_per_piece: 8,
}
writeFileSync(at("data.yaml"), JSON.stringify({ ...data, shard_by: "files", tokenizer: "byte" }))

const sizes = "--layers 1 --dim 32 --head-dim 16 --tokenizer byte --threads 1 --warmup-steps 1"
const rest = "--sequence-length 32 --batch-size 4 --eval-every 3 --eval-batches 3 --sample-every 0"
const often = "--steps 6 --save-every 2 --keep 9 --log-every 1 --data data.yaml"
const flags = [sizes, rest, often].flatMap((text) => text.split(" "))

const mpirun = (launcher: readonly string[], size: number, args: readonly string[], more = {}) =>
  launched(launcher, size, ["train", ...args], more)

const fine = (t: Test, { code, stderr }: Ended): void => {
  t.equal(code, 0, stderr)
}

/** What a run leaves, but for its folder and its times. */
function left(out: string, step = "step-00000006") {
  const file = (...names: string[]) => readFileSync(at(out, ...names))
  const state = JSON.parse(file(step, "state.json").toString())
  const metrics = file("metrics.jsonl").toString().trim().split("\n")
  return {
    weights: file(step, "model.safetensors").toString("base64"),
    optimizer: file(step, "optimizer.safetensors").toString("base64"),
    // What one process with its own state alone, and its folder, has otherwise.
    state: { ...state, settings: { ...state.settings, out: "", shard: undefined } },
    metrics: metrics
      .map((line) => JSON.parse(line))
      .map(({ tokens_per_second, mul_add_fraction, ...each }) => each),
  }
}

t.test("ranks leave the files of one process", { skip: noOpenMpi }, async (t) => {
  const one = ["--accumulation", "4", "--shards", "4", "--out", "one"]
  const [alone, four] = await Promise.all([
    run(["train", ...flags, ...one], at()),
    mpirun(ofOpenMpi, 4, [...flags, "--shard", "full", "--out", "four"]),
  ])
  fine(t, alone)
  fine(t, four)
  t.match(four.stdout, /4 processes, joined by Open MPI v[\d.]+, with 1 × 1 samples of an update/)
  t.match(four.stdout, /step 6 {2}validation loss/)
  t.same(left("four"), left("one"))
  t.match(four.stdout, /of these a process keeps weights [\d.]+ \w+, masters 0 B, moments/)
})

t.test("fewer ranks go on with a run, to the bit", { skip: noOpenMpi ?? noMpich }, async (t) => {
  const resumed = (from: string, step: number) => ["--resume", at(from, `step-0000000${step}`)]
  const two = await mpirun(ofMpich, 2, [...resumed("four", 2), "--out", at("two")])
  fine(t, two)
  t.match(two.stdout, /2 processes, joined by MPICH [\d.]+, with 2 × 1 samples of an update/)
  fine(t, await run(["train", ...resumed("two", 4), "--out", at("last")], at()))
  const [first, second, third] = ["four", "two", "last"].map((out) => left(out))
  for (const each of [second, third]) {
    t.same({ ...each, metrics: [] }, { ...first, metrics: [] })
    t.same(each?.metrics.at(-1), first?.metrics.at(-1))
  }
  const three = await mpirun(ofMpich, 3, [...resumed("four", 2), "--out", at("three")])
  t.equal(three.code, 3)
  t.match(three.stderr, /an update of this run has 4 micro-batches, which 3 processes cannot share/)
  t.equal(three.stderr.match(/cannot share/g)?.length, 1, "one of them says it")
})

const compiler = without("cc", "gcc")
t.test("handles of the ABI of MPI 5", { skip: noMpich ?? compiler }, async (t) => {
  const source = fileURLToPath(new URL("../../test/fixtures/mpi_abi.c", import.meta.url))
  const library = at("libmpi_abi.so")
  const { status, stderr } = spawnSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"])
  t.equal(status, 0, String(stderr))
  const args = [...flags, "--steps", "2", "--accumulation", "4", "--shards", "4"]
  const two = mpirun(ofMpich, 2, [...args, "--out", "abi"], { ELM_MPI_LIB: library })
  fine(t, await two)
  fine(t, await run(["train", ...args, "--out", "no-abi"], at()))
  t.same(left("abi", "step-00000002"), left("no-abi", "step-00000002"))
})

/** Processes of `elm` that launchers have begun for a process. Its own children may be none yet: until they run
 *  another program, they are copies of it. */
function ranksBelow(pid: number | undefined): number[] {
  const isElm = (child: number): boolean =>
    readFileSync(`/proc/${child}/cmdline`, "utf8").split("\0").indexOf(elm) === 1
  const below = (parent: number): number[] =>
    childrenOf(parent).filter((child) => child > 0 && existsSync(`/proc/${child}/cmdline`))
  return below(pid as number).flatMap(function ranks(child): number[] {
    const own = below(child)
    return [...own.filter(isElm), ...own.flatMap(ranks)]
  })
}

/** Begins `elm train --processes 2`, and gives one of the ranks a signal after the first checkpoint. */
async function struck(out: string, signal: NodeJS.Signals, more: readonly string[]) {
  const args = [elm, "train", ...flags, "--steps", "30", "--processes", "2", "--out", out, ...more]
  const child = spawn(process.execPath, args, { cwd: at(), env: environment })
  let isStruck = false
  const said = await ended(child, (stdout) => {
    if (isStruck || !/^step 3\//m.test(stdout)) return
    isStruck = true
    const [launcher] = childrenOf(child.pid)
    process.kill(childrenOf(launcher).at(-1) as number, signal)
  })
  return { ...said, isStruck }
}

t.test("a killed rank: begun again from the last checkpoint", { skip: noOpenMpi }, async (t) => {
  const killed = await struck("killed", "SIGKILL", ["--restarts", "1", "--save-every", "2"])
  fine(t, killed)
  t.ok(killed.isStruck)
  t.match(killed.stderr, /^2 processes ended with code \d+\. Beginning again \(1 of 1\)\. killed/m)
  t.match(killed.stderr, /killed\/step-000000\d\d is the last whole checkpoint; go on from it/)
  t.equal((await checkpointsIn(at("killed"))).at(-1), at("killed", "step-00000030"))
})

t.test("a rank that hangs ends all with one message", { skip: noOpenMpi }, async (t) => {
  const hung = await struck("hung", "SIGSTOP", ["--rank-timeout", "4", "--shard", "full"])
  t.equal(hung.code, 1)
  // Open MPI itself may say, as [host:pid], that it could not read of a process that is no more.
  const lines = hung.stderr.split("\n").filter((line) => line !== "" && !/^\[\S+:\d+\]/.test(line))
  t.equal(lines.length, 1, hung.stderr)
  const message = /^rank 0 of 2: waited 4 s for the others .*: one of them hangs\. hung\/step/
  t.match(lines[0], message)
})

for (const [launcher, missing] of [
  ["mpirun.openmpi", noOpenMpi],
  ["mpirun.mpich", noMpich],
] as const) {
  const name = `a rank that hangs before all have met ends all with one message, by ${launcher}`
  t.test(name, { skip: missing }, async (t) => {
    const more = ["--processes", "2", "--rank-timeout", "2", "--out", `before-${launcher}`]
    const child = spawn(process.execPath, [elm, "train", ...flags, ...more], {
      cwd: at(),
      // A shell that Slurm gives is a step of one task, which begins others all the same.
      env: { ...environment, ELM_MPIRUN: launcher, SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "1" },
    })
    const over = ended(child)
    let rank: number | undefined
    while (rank === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      try {
        rank = ranksBelow(child.pid).at(-1)
      } catch {
        // One has ended while it was looked at.
      }
    }
    process.kill(rank, "SIGSTOP")
    const { code, stderr } = await over
    t.equal(code, 1)
    const lines = stderr.split("\n").filter((line) => line !== "" && !/^\[\S+:\d+\]/.test(line))
    // MPICH's launcher tells of the bits of all signals at once: of the alarm's, and of its own by which it ends those
    // that are left.
    const message =
      /^2 processes (had not met after 2 s: one of them hangs|ended with code 15)\. There is no checkpoint to go on from$/
    t.match(lines[0], message)
    t.equal(lines.length, 1, stderr)
  })
}

t.test("what no number of ranks can do is said once, before they begin", async (t) => {
  const more = ["--processes", "3", "--out", "uneven"]
  const env = { ...environment, ELM_MPIRUN: join(at(), "no-mpirun") }
  const child = spawn(process.execPath, [elm, "train", ...flags, ...more], { cwd: at(), env })
  const { code, stderr } = await ended(child)
  t.equal(code, 1)
  t.match(stderr, /^a batch of 4 does not make 3 equal micro-batches, [^\n]*\n$/)
})

t.test("what is missing is named", async (t) => {
  const asked = ["train", ...flags, "--out", "missing"]
  const said = async (args: readonly string[], env: Record<string, string>) =>
    ended(spawn(process.execPath, [elm, ...args], { cwd: at(), env: { ...environment, ...env } }))
  const none = await said([...asked, "--processes", "2"], { ELM_MPIRUN: join(at(), "no-mpirun") })
  t.equal(none.code, 1)
  t.match(
    none.stderr,
    /^--processes needs MPI, and there is no .*no-mpirun. Install it \(Debian: apt-get/,
  )
  // Set to nothing, it names none.
  const empty = await said([...asked, "--processes", "2"], { ELM_MPIRUN: "", PATH: at() })
  t.match(empty.stderr, /^--processes needs MPI, and there is no mpirun\. Install/)
  if ("registerHooks" in module && noOpenMpi === undefined) {
    const hook = 'resolve(s,c,n){if(s==="koffi")throw Error("none");return n(s,c)}'
    const code = `import{registerHooks}from"node:module";registerHooks({${hook}})`
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(code)}`
    const { stderr } = await said([...asked, "--processes", "2"], { NODE_OPTIONS })
    t.match(stderr, /^Several processes need the package koffi.*: npm install koffi\n$/)
  }
  const begun = { PMI_SIZE: "2", PMI_RANK: "0" }
  const library = await said(asked, { ...begun, ELM_MPI_LIB: "libno.so" })
  t.equal(library.code, 1)
  t.match(
    library.stderr,
    /^Cannot load MPI: ELM_MPI_LIB is libno\.so: .*No such file.* Install it \(Debian/,
  )
  const curve = ["eval", "curve", "my-run", "--out", at("curve")]
  const alone = await said(curve, begun)
  t.equal(alone.code, 1)
  t.match(alone.stderr, /^this command is for one process, and MPI began 2/)
})
