// `elm bench compare`: ratios with intervals, rows matched by key, and what ends with 1.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ratioOf } from "../bench/measure/statistics.ts"
import { normalAt } from "../engine/index.ts"
import { endsOf } from "./command.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-compare-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const machine = { cpu: "a processor", cores: 2, runtime: "node 24", build: "relaxed SIMD" }
const write = (name: string, content: object | string): string => {
  const path = join(dir, name)
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content, null, 2))
  return path
}
const repeats = (...generation: number[]) =>
  generation.map((rate) => ({ prompt: 10 * rate, generation: rate, bandwidthShare: rate / 100 }))
const row = (dtype: string, ...rates: number[]) => ({
  ...{ model: "OpenELM-270M", dtype, cache: "f32", threads: 2, promptTokens: 35 },
  repeats: repeats(...rates),
})
const bench = (rows: object[], more = {}) => ({
  ...{ schema: "elm-bench/1", machine: { ...machine, ...more }, rows },
})

t.test("an interval holds the true ratio in 95 of 100 cases", (t) => {
  let held = 0
  for (let i = 0; i < 2000; i++) {
    const draw = (which: number, mean: number) =>
      Array.from({ length: 5 }, (_, n) => mean * Math.exp(0.05 * normalAt(7, which, i, n)))
    const { low, high } = ratioOf(draw(0, 100), draw(1, 80))
    if (low < 0.8 && high > 0.8) held++
  }
  t.ok(Math.abs(held / 2000 - 0.95) < 0.02, `${held} of 2000`)
  t.match(ratioOf([100], [90, 91]), { low: 0, high: Number.POSITIVE_INFINITY })
  t.end()
})

t.test("what is slower beyond noise ends with 1, the rest with 0", async (t) => {
  const before = write("before.json", bench([row("f32", 50, 51, 52), row("q8", 90, 91, 92)]))
  const noisy = write("noisy.json", bench([row("q8", 80, 91, 99), row("f32", 50, 50, 52)]))
  const slow = write("slow.json", bench([row("f32", 45, 45.5, 46), row("q8", 90, 91, 92)]))
  const log = write("slow.log", `a table\n${JSON.stringify(bench([row("f32", 45, 45.5, 46)]))}\n`)
  const other = write("other.json", bench([row("f32", 50, 51, 52)], { cpu: "another" }))
  const once = write("once.json", bench([row("f32", 30)]))
  const tables = (rate: number) => ({
    ...{ schema: "elm-bench-tables/1", machine, protocol: "35 and 1024" },
    rows: [
      { table: "7a", label: "OPT-350M bf16", repeats: repeats(rate, rate * 1.01) },
      { table: "7a", label: "OpenELM-3B bf16", skipped: "too large" },
    ],
  })
  const [paper, paperSlow] = [write("a.json", tables(10)), write("b.json", tables(5))]
  const lines = [
    ["bench", "compare", before, noisy],
    ["bench", "compare", before, slow],
    ["bench", "compare", before, slow, "--tolerance", "0.2"],
    ["bench", "compare", before, log, "--shares"],
    ["bench", "compare", before, other],
    ["bench", "compare", before, once],
    ["bench", "compare", paper, paperSlow, "--json"],
  ]
  const ended = await endsOf(lines)
  t.same(
    ended.map(({ code }) => code),
    [0, 1, 0, 1, 0, 0, 1],
  )
  t.match(ended[0]?.stdout, "nothing is slower beyond noise")
  t.match(ended[1]?.stdout, /f32 +│ generation .*0\.892 │ 0\.8\d+–0\.9\d+ .*slower/)
  t.match(ended[1]?.stdout, "slower beyond noise: 2 of 4")
  t.match(ended[3]?.stdout, /bandwidthShare .*slower[\s\S]*only before: OpenELM-270M q8/)
  t.match(ended[4]?.stdout, /not alike: cpu a processor and another[\s\S]*only before:.*q8/)
  t.match(ended[5]?.stdout, /one repeat .*unknown/)
  t.match(JSON.parse(ended[6]?.stdout ?? ""), {
    schema: "elm-bench-compare/1",
    rows: [{ key: "7a OPT-350M bf16", rate: "prompt", verdict: "slower" }, {}],
  })
})

t.test("files that hold something else are named, with the field", async (t) => {
  const good = write("good.json", bench([row("f32", 50, 51)]))
  const bad: [content: object | string, message: RegExp][] = [
    ["{", /is not JSON/],
    [{ ...bench([]), schema: "elm-info/1" }, /schema is "elm-info\/1", expected elm-bench\/1 or /],
    [bench([{ ...row("f32"), repeats: [{ prompt: -1 }] }]), /rows\[0\].*prompt is -1, expected /],
    [bench([row("f32")]), /OpenELM-270M f32 keeps no repeats/],
    [bench([row("f32", 1), row("f32", 2)]), /has OpenELM-270M f32 twice/],
    [{ ...bench([]), schema: "elm-bench-train/1" }, /of different measurements/],
    [bench([row("q4", 1, 2)]), /no rates to compare/],
  ]
  const files = bad.map(([content], i) => write(`bad-${i}.json`, content))
  const ended = await endsOf(files.map((file) => ["bench", "compare", good, file]))
  for (const [i, { code, stderr }] of ended.entries()) {
    t.equal(code, 1)
    t.match(stderr, bad[i]?.[1])
    t.match(stderr, files[i])
  }
})
