// The commands of docs/eval.md, run as they stand, on small data and a document of each task.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { shippedModel } from "../model/index.ts"
import { endsOf } from "./command.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const app = mkdtempSync(join(tmpdir(), "openelm-eval-docs-"))
t.teardown(() => rmSync(app, { recursive: true }))

t.test("the commands of docs/eval.md run as they stand", async (t) => {
  const page = readFileSync(new URL("../../docs/eval.md", import.meta.url), "utf8")
  // MMLU, and contexts of many examples, would take longer than all the rest.
  const without = (from: string): boolean =>
    !/mmlu|(arc_challenge|hellaswag).train|crows/.test(from)
  cpSync(fixture("eval/data"), join(app, "my-data"), { recursive: true, filter: without })
  const yaml = /^```yaml\n([\s\S]*?)^```$/m.exec(page)?.[1] as string
  writeFileSync(join(app, "my-task.yaml"), yaml)
  const row = /`(\{"question".*?\})`/.exec(page)?.[1] as string
  writeFileSync(join(app, "my-questions.jsonl"), `${row}\n${row}\n`)
  for (const step of ["step-00000100", "step-00000200"]) {
    cpSync(String(await shippedModel()), join(app, "my-run", step), { recursive: true })
    writeFileSync(join(app, "my-run", step, "state.json"), "{}")
  }
  const lines = [...page.matchAll(/^npx elm (eval [^#\n]*)/gm)].map(([, line = ""]) =>
    line.trim().split(/\s+/),
  )
  t.equal(lines.length, 12)
  const [compare = [], ...others] = lines.sort((a) => (a[1] === "compare" ? -1 : 0))
  const ends = await endsOf(
    others.map((line) => [...line, "--limit", "1", "--threads", "1"]),
    app,
  )
  for (const [i, { code, stderr }] of ends.entries())
    t.equal(code, 0, `${others[i]?.join(" ")}: ${stderr}`)
  const demo = ends[others.findIndex((line) => line.includes("--demo"))]?.stdout
  t.match(demo, /│ agreement .*│ model .*Made-up documents/s)
  const paper = ends[others.findIndex((line) => line.includes("--paper"))]?.stdout ?? ""
  t.match(paper, /OpenELM-3B +│ +42\.24 │ +73\.28 │ +26\.76 │ +34\.98 │ +67\.25 │ +48\.90 │/)
  t.match(paper, /the package's model .* │ +│\n/, "no average without MMLU")
  cpSync(join(app, "my-eval"), join(app, "other-eval"), { recursive: true })
  const [same] = await endsOf([compare], app)
  t.match(same?.stdout, /│ arc_easy +│ acc +│ +1 │ .* \+0\.0000 │/)
})
