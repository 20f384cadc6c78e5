// The shape of the source: who imports whom, how long files are, and what the README says.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { allOps } from "../ops/index.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Folder → folders that its files may import from. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  ops: ["engine"],
  backends: ["engine", "ops"],
  model: ["engine", "ops"],
  train: ["engine", "ops", "model"],
  bench: ["engine", "ops", "backends", "model", "train"],
}
/** The files of commands, *cli.ts, open a backend and share what commands print and write with. */
const allowedInCommands: Readonly<Record<string, readonly string[]>> = {
  train: ["backends", "bench"],
}
const allowedInKernels: Readonly<Record<string, readonly string[]>> = {
  // Kernels know the scratch memory of their thread; the run loop calls kernels.
  ops: ["backends"],
  backends: ["ops"],
}

const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name))

const text = (file: string): string => readFileSync(join(root, file), "utf8")

t.test("folders import only what they may", (t) => {
  for (const [folder, targets] of Object.entries(allowed)) {
    for (const file of files(folder)) {
      const up = file.split("/").length - 1
      const may = file.endsWith(".as.ts") ? [...(allowedInKernels[folder] ?? [])] : [...targets]
      if (file.endsWith("cli.ts")) may.push(...(allowedInCommands[folder] ?? []))
      const imported = [...text(file).matchAll(/from "((?:\.\.\/)+)([^"/]+)/g)]
        .filter(([, dots = ""]) => dots.length / 3 === up)
        .map(([, , target = ""]) => target)
      const wrong = imported.filter((target) => target !== folder && !may.includes(target))
      t.same(wrong, [], file)
    }
  }
  t.end()
})

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

t.test("no file is longer than 300 lines", (t) => {
  for (const folder of [...Object.keys(allowed), "build", "test"]) {
    for (const file of files(folder)) {
      const lines = text(file).split("\n").length - 1
      if (lines > 300) t.fail(`${file} has ${lines} lines`)
    }
  }
  t.pass()
  t.end()
})

t.test("the table of ops in docs/ops.md is the op table", (t) => {
  const rows = [...text("docs/ops.md").matchAll(/^\| `(\w+)` +\| `([^`]+)` +\|/gm)]
  const want = allOps.filter((op) => op.signature).map((op) => [op.name, op.text])
  t.same(
    rows.map(([, name, sig]) => [name, sig?.replaceAll("\\|", "|")]),
    want,
  )
  t.end()
})
