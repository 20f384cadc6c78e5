// The shape of the source: who imports whom, how long files are, and what the README says.
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
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
  // Nothing but elm.ts imports from here.
  cli: ["engine", "ops", "backends", "model", "train", "bench"],
}
const allowedInKernels: Readonly<Record<string, readonly string[]>> = {
  // Kernels know the scratch memory of their thread; the run loop calls kernels.
  ops: ["backends"],
  backends: ["ops"],
}

const allFolders = [...Object.keys(allowed), "build", "test"]
/** Folders whose every export has a user. */
const whereAllIsUsed = ["bench", "cli"]

const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name))

const text = (file: string): string => readFileSync(join(root, file), "utf8")

interface Import {
  /** A file of this project from its root, or the name of a package. */
  readonly from: string
  /** What is taken: names, or "*". */
  readonly names: readonly string[]
  /** Whether it is exported again. */
  readonly isPassedOn: boolean
}

const statement = /^(import|export)\s(?:type\s)?([^"';()]*?)\sfrom\s"([^"]+)"/gm
const aside = /\bimport(?:\(\s*|\s)"([^"]+)"/g

/** What a file imports, at its head or later, and exports again. */
function importsOf(file: string): Import[] {
  const source = text(file)
  const place = (from: string): string => (from.startsWith(".") ? join(dirname(file), from) : from)
  const named = [...source.matchAll(statement)].map(([, verb, what = "", from = ""]) => ({
    from: place(from),
    names: what.startsWith("{")
      ? what.split(/[{},]\s*/).flatMap((each) => /^(?:type )?(\w+)/.exec(each.trim())?.[1] ?? [])
      : ["*"],
    isPassedOn: verb === "export",
  }))
  const others = [...source.matchAll(aside)].map(([, from = ""]) => ({
    from: place(from),
    names: ["*"],
    isPassedOn: false,
  }))
  return [...named, ...others]
}

t.test("folders import only what they may", (t) => {
  for (const [folder, targets] of Object.entries(allowed)) {
    for (const file of files(folder)) {
      const up = file.split("/").length - 1
      const may = file.endsWith(".as.ts") ? [...(allowedInKernels[folder] ?? [])] : [...targets]
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

t.test("the library and its measurements know no terminal and no command line", (t) => {
  const terminal = ["commander", "console-table-printer", "picocolors"]
  const seen = new Set(["index.ts", ...files("bench")])
  for (const file of seen) {
    const all = importsOf(file)
    t.same(
      all.filter(({ from }) => terminal.includes(from) || from.startsWith("cli/")),
      [],
      file,
    )
    for (const { from } of all) if (from.endsWith(".ts")) seen.add(from)
  }
  t.ok(seen.size > 100, `${seen.size} files are reached`)
  t.same(importsOf("elm.ts").filter(({ from }) => from.startsWith("cli/")).length > 0, true)
  t.end()
})

t.test("a command is one file with one export, and one line in the list", async (t) => {
  const inList = importsOf("cli/program.ts").map(({ from }) => from)
  const own = files("cli").filter((file) => !/^cli\/(line|terminal|program)/.test(file))
  t.same(inList.filter((file) => /^cli\/(?!line|terminal)/.test(file)).sort(), own.sort())
  for (const file of own) {
    const names = Object.values(await import(`../${file.replace(/\.ts$/, ".js")}`))
    t.equal(names.length, 1, file)
    t.match(names[0], { name: String, addTo: Function }, file)
  }
})

t.test("what is exported is used in another file, or in the public interface", (t) => {
  const users = [...allFolders.flatMap(files), "index.ts", "elm.ts"]
    .filter((file) => !file.endsWith(".as.ts"))
    .flatMap((file) => importsOf(file).map((each) => ({ ...each, file })))
  const isUsed = (file: string, name: string): boolean =>
    users.some(
      (each) =>
        each.from === file &&
        (each.names.includes(name) || each.names.includes("*")) &&
        (!each.isPassedOn || each.file === "index.ts" || isUsed(each.file, name)),
    )
  for (const folder of whereAllIsUsed) {
    for (const file of files(folder).filter((file) => !file.endsWith(".as.ts"))) {
      const own = text(file).matchAll(
        /^export (?:async )?(?:abstract )?(?:function\*?|const|class|interface|type) (\w+)/gm,
      )
      const unused = [...own].map(([, name = ""]) => name).filter((name) => !isUsed(file, name))
      t.same(unused, [], file)
    }
  }
  t.end()
})

t.test("no file is longer than 300 lines", (t) => {
  for (const folder of allFolders) {
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
