// `npm test`: every test file in a process of its own, several at a time, the slowest first; a line
// for each, what failed in it, and the counts. `npm test -- NAME...` runs these alone. What the files
// print is TAP, read here for its counts only: tap's own runner starts each file, and all that it
// starts in turn, with a compiler and a tracer that none of them needs (0.8 s of CPU for each).
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"

/** Begun last, one of these would be waited for alone. */
const slowest =
  "mpi mpi-eval browser ops webgpu-model tails webgpu-products trials cli trainer run-folder generate-cli".split(
    " ",
  )

/** Left out where all is asked for without ELM_TEST_ALL=1 or ELM_REQUIRE_WEBGPU=1, as `.ci/run` does: of every area
 *  something is left, which takes three and a half minutes on two cores, where all without a GPU takes ten. */
const long = (
  "run-folder run-resume tails data-pipeline quantize drafts terminal chat-cli blocks tune-run " +
  "eval-cli eval-docs eval-download families-train threads soak fuzz usage preference convert-cli " +
  "tokenizer-cli tune-rso tune-dpo tune-ranks http sweep scaling mpi mpi-eval docs hub-cli resume " +
  "tune-shard shard-adapters micro-batches examples merge-cli ceilings against vocabulary weights-page " +
  "continuations chosen adapter-base adapter-training adapters-families eval-curve data-config trials " +
  "optimizers machines serve-load q8-cache train-numbers shard remote beams data-readers byte-level " +
  "adapters-requests added-tokens complete browser families"
).split(" ")
const { ELM_TEST_ALL, ELM_REQUIRE_WEBGPU } = process.env
const isAll = ELM_TEST_ALL === "1" || ELM_REQUIRE_WEBGPU === "1"

/** Of Node, for each file: ELM_TEST_NODE adds to them. */
const flags = process.env.ELM_TEST_NODE?.split(" ") ?? []

const here = import.meta.dirname
const ending = ".test.js"
const ofDawn = /^Warning: (max\w+ artificially reduced|vkCreateInstance)|^ {4}at CheckVkSuccessImpl/
const isPass = /^ *(ok \d|# Subtest)/

interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** What a file's TAP says in its last lines. One that ends badly, or without a count, has failed. */
function countsOf(tap: string, isWell: boolean): Counts {
  const footer = tap.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? ""
  const count = (name: string) => Number(footer.match(`${name}: (\\d+)`)?.[1] ?? 0)
  const counts = { passed: count("pass"), failed: count("fail"), skipped: count("skip") }
  const isEmpty = counts.passed + counts.skipped === 0 && !/^1\.\.0/m.test(tap)
  return counts.failed === 0 && (isEmpty || !isWell) ? { ...counts, failed: 1 } : counts
}

/** The lines that say what went wrong. */
function faults(tap: string, errors: string): string {
  const lines = tap.split("\n").filter((line) => !isPass.test(line))
  const said = errors.split("\n").filter((line) => !ofDawn.test(line))
  return [...lines, ...said].filter((line) => line.trim() !== "").join("\n")
}

/** Runs a test file for at most 15 minutes: machines are shared. */
async function run(name: string, signal: AbortSignal): Promise<Counts> {
  const start = performance.now()
  const child = spawn(process.execPath, [...flags, join(here, name + ending)], {
    cwd: join(here, "..", ".."),
    env: { ...process.env, TAP_TIMEOUT: "900" },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    timeout: 900_000,
  })
  const ended = new Promise<number | string | null>((resolve, reject) => {
    child.on("error", reject).on("close", (code, killed) => resolve(killed ?? code))
  })
  const [tap, errors, end] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  const counts = countsOf(tap, end === 0)
  const { passed, failed, skipped } = counts
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(
    `${failed ? "FAILED" : "ok"} ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`,
  )
  if (failed) console.log(`${faults(tap, errors)}\n${name} ended with ${end}`)
  return counts
}

// By their sources: what a build of other days has left behind is none.
const sources = readdirSync(join(here, "..", "..", "test"))
const all = sources.flatMap((file) => /^(.*)\.test\.ts$/.exec(file)?.[1] ?? []).sort()
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) throw new RangeError(`no test of this name: ${unknown.join(", ")}`)
const first = slowest.filter((name) => all.includes(name))
const left = wanted.length > 0 || isAll ? [] : long
const asked = [...new Set([...first, ...all])].filter((name) => !left.includes(name))
const queue = wanted.length > 0 ? wanted : asked
if (left.length > 0) console.log(`left to ELM_TEST_ALL=1: ${left.join(", ")}`)

const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
const start = performance.now()
const total: Counts = { passed: 0, failed: 0, skipped: 0 }

async function work(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const { passed, failed, skipped } = await run(name, stop.signal)
    total.passed += passed
    total.failed += failed
    total.skipped += skipped
  }
}

await Promise.all(Array.from({ length: availableParallelism() + 1 }, work))
const seconds = ((performance.now() - start) / 1000).toFixed(0)
console.log(`tests took ${seconds} s`)
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exitCode = total.failed === 0 ? 0 : 1
