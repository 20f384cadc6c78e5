// `elm eval curve`: points of checkpoints and of their average, in files, a picture and characters.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { curveSvg, curveText } from "../cli/terminal/curve.ts"
import { type CurvePoint, curveCsv, curveJson } from "../eval/curve.ts"
import { type Suite, suites } from "../eval/suites.ts"
import { shippedModel } from "../model/index.ts"
import { endsOf } from "./command.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-eval-curve-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const at = (...names: string[]): string => join(dir, ...names)
const suite = suites.find(({ name }) => name === "zero-shot") as Suite

/** Every task has the same score, but for those that are not there. */
function pointOf(iteration: number, score: number, more: Partial<CurvePoint> = {}): CurvePoint {
  const results = suite.columns.map(({ task, metric }) => [
    task,
    { alias: task, [`${metric},none`]: score, [`${metric}_stderr,none`]: "N/A" },
  ])
  return { checkpoint: `c-${iteration}`, iteration, results: Object.fromEntries(results), ...more }
}

t.test(
  "a line for each task and the mean, and the average of checkpoints beside them",
  async (t) => {
    const averaged = { checkpoint: 'a, "b"', averageOf: 2 }
    const points = [pointOf(10, 0.25), pointOf(20, 0.5), pointOf(20, 0.75, averaged)]
    const svg = await curveSvg(suite, points)
    t.equal(svg.match(/<path/g)?.length, 8)
    t.equal(svg.match(/<circle class="f\d bullet"/g)?.length, 8)
    t.match(svg, />iteration of the training; large: average of the last 2 checkpoints</)
    const text = await curveText(suite, points)
    t.match(
      text,
      /│ iteration 10 .*│ +25\.00 │\n.*\n│ average of the last 2 checkpoints .*│ +75\.00 │/,
    )
    t.match(text, /· average {3}● average of the last 2 checkpoints\n/)
    const csv = curveCsv(suite, points).split("\n")
    t.equal(csv[1], `10,,${"25,".repeat(8)}c-10`)
    t.equal(csv[3], `20,2,${"75,".repeat(8)}"a, ""b"""`)
    const { piqa, ...without } = points[0]?.results ?? {}
    const partly = [{ ...pointOf(5, 0), results: without }, ...points]
    t.match(curveJson(suite, partly), { points: [{ average: null, scores: { piqa: null } }] })
    t.match(await curveText(suite, partly), /· ARC-c {3}● ARC-e/, "no mean of what is not whole")
    t.match(await curveText(suite, points.slice(0, 1)), /│ +25\.00 │\n└[^\n]+$/, "one is no line")
    t.equal(await curveSvg(suite, []), "")
  },
)

t.test("checkpoints of a folder, and again without asking any of them", async (t) => {
  const shipped = String(await shippedModel())
  for (const step of [200, 1000]) cpSync(shipped, at(`step-${step}`), { recursive: true })
  cpSync(shipped, at("final"), { recursive: true })
  cpSync(fixture("eval/data/piqa"), at("data", "piqa"), { recursive: true })
  const curve = (...models: string[]) => [
    ...["eval", "curve", ...models.map((name) => at(name)), "--data", at("data"), "--limit", "2"],
    ...["--threads", "1", "--out", at("out")],
  ]
  const [first] = await endsOf([curve("step-1000", "step-200")])
  t.equal(first?.code, 0, String(first?.stderr))
  t.equal(first?.stderr.match(/rows, the published validation split/g)?.length, 1, "said once")
  const folders = ["average-200-1000", "iteration-1000", "iteration-200"]
  t.same(readdirSync(at("out")).sort(), [
    ...folders.slice(0, 1),
    "curve.csv",
    "curve.json",
    "curve.svg",
    ...folders.slice(1),
  ])
  const csv = readFileSync(at("out", "curve.csv"), "utf8")
  t.match(csv, /^200,,,,,,\d+,,,,\S+step-200\n1000,,.*\n1000,2,.*step-200 \+ \S+step-1000\n$/m)
  for (const step of [200, 1000]) rmSync(at(`step-${step}`, "model.safetensors"))
  const [again, other, nameless, missing, twice] = await endsOf([
    [...curve("step-200", "step-1000"), "--resume"],
    curve("step-200", "step-1000"),
    curve("step-200", "final"),
    curve("step-3000"),
    curve("step-200", "step-200"),
  ])
  t.equal(again?.code, 0, String(again?.stderr))
  t.equal(readFileSync(at("out", "curve.csv"), "utf8"), csv)
  t.match(
    other?.stderr,
    /iteration-200 has the log of an evaluation, samples_piqa.jsonl: resume it/,
  )
  t.match(nameless?.stderr, /final has no iteration in its name, expected such as step-5000/)
  t.match(missing?.stderr, /There is nothing at \S+step-3000/)
  t.match(twice?.stderr, /are both of iteration 200/)
})
