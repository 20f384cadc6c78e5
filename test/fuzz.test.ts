// Changed files of every kind, thousands of them: each is read and used, or refused in a message that
// names the file; none takes more time or memory than its size explains, or the process with it.
// ELM_TEST_FUZZ=N tries more, ELM_TEST_FUZZ_CASE=n the one of that number.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { smallPart } from "./driver.ts"
import t from "./tap.ts"

const { ELM_TEST_FUZZ, ELM_TEST_FUZZ_CASE } = process.env
const first = Number(ELM_TEST_FUZZ_CASE ?? 0)
const usual = smallPart ? 500 : 3000
const count = ELM_TEST_FUZZ_CASE === undefined ? Number(ELM_TEST_FUZZ ?? usual) : 1
const seed = 20260

/** Most processor time of a case, and most memory of the process that tries them. */
const mostSeconds = 10
const mostBytes = 1.5e9

const dir = mkdtempSync(join(tmpdir(), "openelm-fuzz-"))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

interface ReportLine {
  readonly begin?: number
  readonly end?: number
  readonly kind?: string
  readonly file?: string
  readonly outcome?: string
  readonly problem?: string
  readonly done?: boolean
}

/** Processor seconds and resident bytes of a process; of one that is gone, none. */
function usageOf(pid: number): { seconds: number; bytes: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number)
    return {
      seconds: ((fields[11] ?? 0) + (fields[12] ?? 0)) / 100,
      bytes: 4096 * (fields[21] ?? 0),
    }
  } catch {
    return { seconds: 0, bytes: 0 }
  }
}

const outcomes: Record<string, Record<string, number>> = {}
const tally = (kind: string, outcome: string): void => {
  const of = outcomes[kind] ?? {}
  outcomes[kind] = of
  of[outcome] = (of[outcome] ?? 0) + 1
}

/** Cases from one on, in one process; returns the next, and what was wrong with any. */
function tryFrom(from: number, to: number): Promise<{ next: number; wrong: string[] }> {
  const child = fileURLToPath(new URL("./fuzz/child.js", import.meta.url))
  const args = ["--max-old-space-size=512", child, join(dir, String(from)), String(seed)]
  // The runner of the tests has hooks for its children, which slow them down.
  const env = { ...process.env, NODE_OPTIONS: "" }
  const trial: ChildProcess = spawn(process.execPath, [...args, String(from), String(to)], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
  })
  const pid = trial.pid as number
  const wrong: string[] = []
  let [next, kind, what, began, said] = [from, "", "", 0, ""]
  let isDone = false
  let why = ""
  trial.stderr?.on("data", (data: Buffer) => {
    said += data
  })
  const watch = setInterval(() => {
    const { seconds, bytes } = usageOf(pid)
    if (kind !== "" && seconds - began > mostSeconds) why = "hang"
    if (bytes > mostBytes) why = "memory"
    if (why) trial.kill("SIGKILL")
  }, 200)
  createInterface({ input: trial.stdout as NodeJS.ReadableStream }).on("line", (text) => {
    const line = JSON.parse(text) as ReportLine
    if (line.begin !== undefined) {
      ;[kind, what, began] = [
        line.kind ?? "",
        `case ${line.begin}, ${line.file}`,
        usageOf(pid).seconds,
      ]
    } else if (line.end !== undefined) {
      tally(kind, line.outcome ?? "")
      if (line.problem) wrong.push(`${what}: ${line.problem}`)
      ;[next, kind] = [line.end + 1, ""]
    }
    isDone ||= line.done === true
  })
  return new Promise((resolve) => {
    trial.on("close", (code, signal) => {
      clearInterval(watch)
      if (!isDone) {
        tally(kind, why || "crash")
        wrong.push(`${what}: ${why || `ended by ${signal ?? code}: ${said.slice(-500)}`}`)
        next++
      }
      resolve({ next, wrong })
    })
  })
}

t.test(`${count} changed files are used or refused`, async (t) => {
  const last = first + count
  // Two at a time, each its half.
  const halves = count > 1 ? [first, first + Math.floor(count / 2), last] : [first, last]
  const found = await Promise.all(
    halves.slice(1).map(async (end, i) => {
      const wrong: string[] = []
      for (let at = halves[i] as number; at < end && wrong.length < 200; ) {
        const result = await tryFrom(at, end)
        wrong.push(...result.wrong)
        at = result.next
      }
      return wrong
    }),
  )
  for (const [kind, of] of Object.entries(outcomes)) {
    const counts = Object.entries(of).map(([outcome, n]) => `${n} ${outcome}`)
    t.comment(`${kind}: ${counts.sort().join(", ")}`)
  }
  const tried = Object.values(outcomes).flatMap((of) => Object.values(of))
  t.equal(
    tried.reduce((a, b) => a + b, 0),
    count,
  )
  t.same(
    found.flat(),
    [],
    "nothing hung, crashed, or was refused without saying which file and why",
  )
})
