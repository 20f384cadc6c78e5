// The paper's tables: every row is measured once, kept and not measured again; what does not fit says
// so; sheets hold what was measured.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { NormRow } from "../bench/measure/norms.ts"
import type { ThroughputRow } from "../bench/measure/throughput.ts"
import { keptCharts, measureCharts } from "../bench/tables/charts.ts"
import { paperTables } from "../bench/tables/paper.ts"
import { reportHtml } from "../bench/tables/report.ts"
import { csvOf, markdownOf } from "../bench/tables/sheets.ts"
import { type Measure, runTables, type Unit } from "../bench/tables/table.ts"
import { open, parameterCount, publishedConfig } from "../index.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const place = { name: "wasm", build: "a build", threads: 2 } as const
const lengths = { dtype: "bf16", prompt: 35, generate: 4, repeat: 1 } as const

const ratesOf = ({ config, dtype }: Unit) => {
  const rate = parameterCount(config) / (dtype === "q4" ? 1e6 : 2e6)
  return {
    promptTokensPerSecond: 3 * rate,
    generationTokensPerSecond: rate,
    totalTokensPerSecond: 2 * rate,
  }
}

/** Measures nothing, and notes what it was asked for. */
function measureNothing() {
  const asked: string[] = []
  const measure: Measure = async (unit) => {
    const { config, dtype, norms } = unit
    asked.push(`${config.name} ${dtype} ${norms.join()}`.trim())
    const rates = ratesOf(unit)
    if (norms.length === 0) {
      return { throughput: { ...rates, bandwidthFraction: 0.9 } as ThroughputRow }
    }
    const rows = norms.map((norm) => ({
      ...rates,
      norm,
      normsPerToken: 113,
      generationRatio: 0.98,
    }))
    return { norms: rows as NormRow[] }
  }
  return { asked, measure }
}

const page = {
  machine: { cpu: "<b>&", cores: 2, memoryBytes: 2 ** 34, os: "linux", runtime: "node" },
  protocol: "two threads",
}

const said: string[] = []
const rest = { report: () => undefined, done: (text: string) => said.push(text) }

t.test(
  "each model and dtype is measured once, and a second run measures what is left",
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "openelm-tables-"))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const options = { ...lengths, folder }
    const first = measureNothing()
    const lines = await runTables(paperTables.slice(1), place, options, { ...rest, ...first })
    t.same(first.asked, [
      "OpenELM-270M bf16",
      "OpenELM-270M q4",
      "OpenELM-450M bf16",
      "OpenELM-450M q4",
      "OpenELM-1_1B bf16",
      "OpenELM-1_1B q4",
      "OpenELM-3B bf16",
      "OpenELM-3B q4",
      "OLMo-1.18B bf16 none,layerNorm,naive",
      "OpenELM-1_1B bf16 none,layerNorm,naive,fused,added,folded",
    ])
    t.equal(lines.length, 17, "a line for each row of both tables")
    t.equal(said.length, 10)
    t.match(said[0], /^OpenELM-270M in bf16: 0 s.*; about \d+ minutes? left$/)
    t.notMatch(said.at(-1), "left")
    const second = measureNothing()
    const again = await runTables(paperTables, place, options, { ...rest, ...second })
    t.same(
      second.asked.map((unit) => unit.split(" ")[0]),
      [
        "OPT-350M",
        "MobiLlama-0.5B",
        "MobiLlama-0.8B",
        "Pythia-1.4B",
        "MobiLlama-1.26B",
        "OLMo-1.18B",
      ],
      "only what table 7a has beside the others",
    )
    t.equal(again.length, 27)
    t.notOk(again.some(({ skipped, rates }) => skipped || !rates))
    const third = measureNothing()
    await runTables(paperTables, place, { ...options, generate: 8 }, { ...rest, ...third })
    t.equal(third.asked.length, 16, "another protocol is another measurement")
    const files = readdirSync(folder)
    t.ok(files.every((name) => /^unit-.*\.json$/.test(name)))
  },
)

t.test("a damaged row is named, and nothing is measured over it", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-tables-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, "unit-x.json"), "{")
  const work = { ...rest, ...measureNothing() }
  await t.rejects(runTables(paperTables, place, { ...lengths, folder }, work), {
    name: "SyntaxError",
    message: /unit-x\.json/,
  })
  t.same(work.asked, [])
})

t.test("sheets and the page hold what was measured, beside the paper's numbers", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-tables-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const work = { ...rest, ...measureNothing() }
  const lines = await runTables(paperTables, place, { ...lengths, folder }, work)
  const csv = csvOf(lines).trim().split("\n")
  t.equal(csv.length, 28)
  t.match(csv[2], /^7a,OpenELM-270M bf16,407\.\d+,135\.\d+,271\.\d+,6427\.27,159\.67,165\.85,0\.9,/)
  const markdown = markdownOf(paperTables, lines)
  t.match(markdown, "| OpenELM-270M bf16 | 407 | 136 | 272 | 6427 | 160 | 166 |")
  t.match(markdown, /### Table 8: normalization layers/)
  const html = reportHtml(paperTables, { ...page, lines })
  t.match(html, "&#60;b&#62;&#38;", "names are text")
  t.notMatch(html, /https?:|NaN|undefined/, "nothing of the network, nothing missing")
  t.equal(html.match(/<tr>/g)?.length, 30)
  t.equal(html.match(/<figure>/g)?.length, 9)
})

t.test("charts are measured once, and drawn in the page", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-tables-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  let opened = 0
  const subject = {
    config: { ...config, maxContext: 160 },
    dtype: "f32",
    threads: 2,
    open: (threads: number) => {
      opened++
      return open("wasm", { threads })
    },
  } as const
  const options = { repeat: 1, folder }
  t.equal(keptCharts(subject, options), undefined)
  const charts = await measureCharts(subject, options, rest.report)
  t.equal(opened, 3, "one thread, two, and two again")
  t.same(
    charts.map(({ chart: { series } }) => series[0]?.points.map(([x]) => x)),
    [
      [1, 2],
      [35, 128, 148],
      [35, 128, 148],
      [1, 2, 4, 8, 16],
    ],
  )
  const rates = charts.flatMap(({ chart: { series } }) => series.flatMap(({ points }) => points))
  t.ok(rates.every(([, rate]) => rate > 0 && Number.isFinite(rate)))
  t.same(await measureCharts(subject, options, rest.report), charts)
  t.equal(opened, 3, "kept")
  t.equal(keptCharts(subject, { ...options, repeat: 2 }), undefined, "another protocol")
  const html = reportHtml([], { ...page, lines: [], charts })
  t.equal(html.match(/<figure>/g)?.length, 4)
  t.match(html, "speed by threads: small f32")
})

t.test("what does not fit in memory says so", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-tables-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const work = { ...rest, ...measureNothing() }
  const options = { ...lengths, folder, memoryBytes: 4e9 }
  const lines = await runTables(paperTables.slice(1, 2), place, options, work)
  t.match(lines[6]?.skipped, /^6\.1 GB of weights, more than 2\.4 GB/)
  t.notOk(work.asked.includes("OpenELM-3B bf16"))
  t.ok(work.asked.includes("OpenELM-3B q4"))
  t.equal(publishedConfig("3B").name, "OpenELM-3B")
})
