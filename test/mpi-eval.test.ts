// Evaluations that several processes share: the result and the log of one process, gone on with by another number
// of them; what is left where one dies, or where Ctrl-C ends them.
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { fixture } from "./fixtures.ts"
import {
  childrenOf,
  environment,
  mpirun,
  noMpich,
  noOpenMpi,
  ofMpich,
  ofOpenMpi,
} from "./launchers.ts"
import { at, type Ended, elm, ended, run } from "./runs.ts"
import t, { type Test } from "./tap.ts"

const data = ["--threads", "1", "--data", fixture("eval/data")]
const tasks = ["eval", "--tasks", "arc_easy,piqa", "--shots", "1", "--limit", "5", ...data]

const fine = (t: Test, { code, stderr }: Ended): void => {
  t.equal(code, 0, stderr)
}

/** What an evaluation leaves. Texts that are read side by side with others have other last bits. */
function left(out: string) {
  const files = readdirSync(at(out)).sort()
  return files.map((name) => {
    const text = readFileSync(at(out, name), "utf8")
    return [name, text.replace(/-?\d+\.\d+/g, (number) => Number(number).toFixed(3))]
  })
}

t.test("processes leave what one does, and print it once", { skip: noOpenMpi }, async (t) => {
  const [one, three] = await Promise.all([
    run([...tasks, "--out", "one"], at()),
    mpirun(ofOpenMpi, 3, [...tasks, "--out", "three"], { ELM_MPI_COLUMNS: "80" }),
  ])
  fine(t, one)
  fine(t, three)
  t.same(left("three"), left("one"))
  t.equal(three.stdout.match(/± stderr/g)?.length, 1, "the first alone prints")
  t.equal(three.stderr.match(/piqa.* has 9 rows, the published/g)?.length, 1, "and says this")
  t.match(three.stderr, /10 of 10 documents, by 3 processes/)
  t.notMatch(one.stdout, /Partial/)
})

t.test(
  "another number goes on, with one log in the end",
  { skip: noOpenMpi ?? noMpich },
  async (t) => {
    const lines = readFileSync(at("one", "samples_piqa.jsonl"), "utf8").split("\n")
    mkdirSync(at("parts"))
    const write = (share: string, ids: readonly number[], rest = "") =>
      writeFileSync(
        at("parts", `samples_piqa${share}.jsonl`),
        `${ids.map((id) => `${lines[id]}\n`).join("")}${rest}`,
      )
    write(".1of4", [0, 4])
    write(".2of4", [1], (lines[3] as string).slice(0, 40))
    write("", [2, 4])
    const two = await mpirun(ofMpich, 2, [...tasks, "--out", "parts", "--resume"])
    fine(t, two)
    t.same(left("parts"), left("one"))
    const shard = await mpirun(ofMpich, 2, [...tasks, "--shard", "1/2"])
    t.equal(shard.code, 3)
    t.match(shard.stderr, /^rank 0 of 2: --shard is for processes that know nothing of each other/m)
    t.equal(shard.stderr.match(/--shard is for/g)?.length, 1, "one of them says it")
  },
)

/** Begins an evaluation by two processes, and calls `strike` once both have answered something. */
async function struck(out: string, strike: (pid: number | undefined) => void) {
  const long = ["eval", "--tasks", "mmlu", "--shots", "5", ...data, "--out", out]
  const args = [elm, ...long, "--processes", "2"]
  const child = spawn(process.execPath, args, { cwd: at(), env: environment })
  const said = ended(child)
  const have = (share: string): boolean =>
    existsSync(at(out)) && readdirSync(at(out)).some((name) => name.includes(share))
  while (!(have(".1of2.") && have(".2of2.")) && child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  strike(child.pid)
  return said
}

t.test("what is left of a rank that dies, and by Ctrl-C", { skip: noOpenMpi }, async (t) => {
  const killed = await struck("killed", (pid) => {
    const [launcher] = childrenOf(pid)
    process.kill(childrenOf(launcher).at(-1) as number, "SIGKILL")
  })
  t.equal(killed.code, 1)
  const said = killed.stderr.split("\n").filter((line) => /ended with code/.test(line))
  t.equal(said.length, 1)
  t.match(said[0], /^2 processes ended with code \d+\. What was answered is in killed; go on with/)
  const stopped = await struck("stopped", (pid) => process.kill(pid as number, "SIGINT"))
  t.equal(stopped.code, 130)
  t.match(stopped.stdout, /Partial: of these documents alone: /)
  const { partial } = JSON.parse(readFileSync(at("stopped", "results.json"), "utf8"))
  t.ok(partial.mmlu_anatomy[0] < partial.mmlu_anatomy[1])
})
