// The reports as a browser shows them: at a desk and on a phone, in light and dark, without a network.
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import type { Browser } from "playwright-core"
import type { SweepRow } from "../bench/measure/sweep.ts"
import { sweepHtml } from "../bench/report/sweep.ts"
import { paperTables } from "../bench/tables/paper.ts"
import { reportHtml } from "../bench/tables/report.ts"
import type { TableLine } from "../bench/tables/table.ts"
import { publishedConfig } from "../index.ts"
import { launch, noWholeBrowser, pageOf } from "./chromium.ts"
import t, { type Test } from "./tap.ts"

const machine = {
  ...{ cpu: "AMD EPYC (x64)", cores: 2, memoryBytes: 25e9 },
  ...{ os: "linux 6.18", runtime: "node 24.21.0" },
}
const protocol = "relaxed SIMD, 2 threads; 35 prompt tokens, 1024 generated; medians of 5"

const lines = paperTables.flatMap(({ name, rows }) =>
  rows.map(({ model, bits, norm, paper }, i): TableLine => {
    const label = `${publishedConfig(model).name} ${bits ? "q4" : "bf16"}${norm ? `, ${norm}` : ""}`
    const base = { table: name, label, paper }
    if (model === "3B" && !bits) return { ...base, skipped: "6.1 GB of weights, too many" }
    const rates = { prompt: 400 - 20 * i, generation: 80 / (i + 1), total: 90 / (i + 1) }
    const shares = norm
      ? { normsPerToken: 113, generationRatio: 0.9 + 0.02 * i }
      : { bandwidthFraction: 0.95 - 0.02 * i }
    return { ...base, rates, ...shares, foreignShare: i === 3 ? 0.2 : 0 }
  }),
)
const curve = (name: string, power: number) => ({
  ...{ name, marked: true },
  points: [1, 2, 4, 8, 16].map((x) => [x, x ** power] as const),
})
const charts = ["speed by threads", "generation by what is before it"].map((title) => ({
  ...{ model: "OpenELM-270M", dtype: "bf16" },
  chart: { title, x: "x", y: "times", series: [curve("prompt", 0.9), curve("generation", 0.6)] },
}))
const swept = [0.5, 1, 2, 3, 4].map((slope) => ({
  ...{ model: `α 0.5–1, β ${slope}–4`, modelDim: 1280, parameters: 271e6, loss: 3 + slope / 10 },
  ...{ promptTokensPerSecond: 400, generationTokensPerSecond: 80 - slope },
  layerParameters: Array.from({ length: 16 }, (_, i) => 1e6 * (slope + (i * (4 - slope)) / 15)),
})) as unknown as SweepRow[]

const pages = {
  tables: reportHtml(paperTables, { machine, protocol, lines, charts }),
  sweep: sweepHtml({ machine, protocol, rows: swept }),
}
const sizes = { desk: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } }
/** Where pictures of the pages go, for whoever wants to look at them. */
const { ELM_SCREENSHOTS: pictures } = process.env

/** Light of a colour "rgb(r, g, b)", 0 … 255. */
const lightOf = (colour: string): number => {
  const [r = 0, g = 0, b = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number)
  return (r + g + b) / 3
}

async function look(t: Test, browser: Browser, name: keyof typeof pages): Promise<void> {
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"] as const) {
      const [page, complaints] = await pageOf(browser, { viewport, colorScheme, offline: true })
      await page.setContent(pages[name])
      const where = `${name}, ${size}, ${colorScheme}`
      const seen = await page.evaluate(() => {
        const style = getComputedStyle(document.body)
        const texts = [...document.querySelectorAll("svg text")].map((text) => {
          const [own, around] = [text, text.closest("svg") as Element].map((element) =>
            element.getBoundingClientRect(),
          ) as [DOMRect, DOMRect]
          const isInside = own.left >= around.left - 1 && own.right <= around.right + 1
          return isInside ? "" : (text.textContent ?? "")
        })
        return {
          overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          colours: [style.color, style.backgroundColor],
          cut: texts.filter(Boolean),
          figures: document.querySelectorAll("figure svg").length,
        }
      })
      if (pictures) {
        mkdirSync(pictures, { recursive: true })
        const path = join(pictures, `${name}-${size}-${colorScheme}.png`)
        await page.screenshot({ path, fullPage: true })
      }
      t.equal(seen.overflow, 0, `${where}: no wider than the screen`)
      t.same(seen.cut, [], `${where}: labels lie within their pictures`)
      const [ink, paper] = seen.colours.map(lightOf) as [number, number]
      t.ok(Math.abs(ink - paper) > 150, `${where}: ${seen.colours} can be read`)
      t.equal(paper < 128, colorScheme === "dark", where)
      t.ok(seen.figures >= 4, `${where}: ${seen.figures} figures`)
      t.same(complaints, [], where)
      await page.close()
    }
  }
}

t.test(
  "reports are read at a desk and on a phone, in light and dark",
  noWholeBrowser ? { skip: noWholeBrowser } : {},
  async (t) => {
    const browser = await launch()
    t.teardown(() => browser.close())
    await look(t, browser, "tables")
    await look(t, browser, "sweep")
  },
)
