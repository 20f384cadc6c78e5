// Where the files of ops lie, that their comments do not steer the build, and that docs/ops.md lists them.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { allOps } from "../ops/index.ts"
import t from "./tap.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const text = (file: string): string => readFileSync(join(root, file), "utf8")

t.test("ops/ holds its list and families, each op's files side by side", (t) => {
  const names = readdirSync(join(root, "ops"), { recursive: true, encoding: "utf8" })
  const sources = names.filter((name) => /\.(ts|wgsl)$/.test(name))
  t.same(
    sources.filter((name) => name.split("/").length !== 2),
    ["index.ts"],
  )
  // One stem, one family: of two with a kernel each, a reader would find the wrong one.
  const families = new Map<string, string>()
  for (const name of sources) {
    const [family = "", file = ""] = name.split("/")
    const stem = file.replace(/\..*$/, "")
    t.equal(families.get(stem) ?? family, family, name)
    families.set(stem, family)
  }
  t.end()
})

t.test(
  "comments of .wgsl files do not steer: what a kernel takes is in its op's declaration",
  (t) => {
    const words =
      /^\/\/ (groups|scalars|wide|using|fours|with|needs|from|when|const \w+|instead of \w+):/m
    const names = readdirSync(join(root, "ops"), { recursive: true, encoding: "utf8" })
    for (const name of names.filter((each) => each.endsWith(".wgsl"))) {
      t.notMatch(text(join("ops", name)), words, name)
    }
    t.end()
  },
)

t.test("the table of ops in docs/ops.md is the op table", (t) => {
  const rows = [...text("docs/ops.md").matchAll(/^\| `(\w+)` +\| `([^`]+)` +\|/gm)]
  const want = allOps.filter((op) => op.signature).map((op) => [op.name, op.text])
  t.same(
    rows.map(([, name, sig]) => [name, sig?.replaceAll("\\|", "|")]),
    want,
  )
  t.end()
})
