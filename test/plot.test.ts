// The losses of a run as a picture and in characters.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { chartText } from "../cli/terminal/chart.ts"
import { plotText } from "../cli/terminal/plot.ts"
import { readMetrics } from "../train/run/log.ts"
import type { Metrics } from "../train/run/metrics.ts"
import { plotSvg } from "../train/run/plot.ts"
import t from "./tap.ts"

const training = [1, 2, 3, 4].map((n) => ({ step: 10 * n, ce: 8 / n })) as unknown as Metrics[]
const validation = [{ step: 20, validation_loss: 5 }] as unknown as Metrics[]

t.test("a plot names only what it shows", async (t) => {
  t.notMatch(await plotSvg(training), /validation/)
  t.notMatch(await plotText(training), /validation/)
  const both = await plotSvg([...training, ...validation])
  t.match(both, />training<[\s\S]*>validation</)
  t.match(await plotText([...training, ...validation]), /· training {3}● validation/)
  t.equal(both.match(/<circle/g)?.length, 1, "each validation is marked")
  t.same([await plotSvg([]), await plotText(training.slice(0, 1))], ["", ""], "nothing of nothing")
})

t.test("labels of a plot in characters stand apart, within its width", (t) => {
  for (const last of [9, 30, 3050, 123456, 1e7]) {
    for (const columns of [40, 72, 80, 100]) {
      const points = Array.from({ length: 50 }, (_, i): [number, number] => [
        (last * i) / 49,
        9 - i / 9,
      ])
      const text = chartText(
        { title: "t", x: "x", y: "y", series: [{ name: "a", points }] },
        columns,
      )
      const lines = text.split("\n")
      for (const line of lines) t.ok(line.length <= columns, `${line.length} of ${columns}`)
      const labels = (lines.at(-1) ?? "").trim().split(/ {2,}/)
      t.ok(labels.length >= 3, labels.join(" | "))
      const values = labels.map((label) => Number(label.replaceAll(",", "")))
      t.same(
        values.toSorted((a, b) => a - b),
        values,
        "each is a number, in order",
      )
    }
  }
  t.end()
})

t.test("lines of a file of metrics that are none are left out", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "openelm-metrics-"))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const wrong = ["null", "[]", "5", "{}", '{"step":"1","ce":1}', '{"step":1,"ce":null}', '{"ste']
  const more = ['{"step":1,"validation_loss":"2"}', '{"step":1e400,"ce":2}', ""]
  const right = [
    { step: 1, ce: 2 },
    { step: 2, sample: "text" },
  ] as unknown as Metrics[]
  const lines = [...wrong, ...right.map((each) => JSON.stringify(each)), ...more]
  const path = join(dir, "metrics.jsonl")
  writeFileSync(path, lines.join("\n"))
  t.same(readMetrics(path), right)
  t.equal(await plotText(readMetrics(path)), "")
})
