// The shape of the source: who imports whom, how long files are, and what the README says.
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "./tap.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Folder → folders that its files may import from. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  ops: ["engine"],
  backends: ["engine", "ops"],
  model: ["engine", "ops"],
  train: ["engine", "ops", "model"],
  bench: ["engine", "ops", "backends", "model", "train", "serve"],
  eval: ["engine", "model"],
  serve: ["engine", "model"],
  mpi: ["engine", "train"],
  // Nothing but elm.ts imports from here.
  cli: ["engine", "ops", "backends", "model", "train", "bench", "eval", "serve", "mpi"],
}
const allowedInKernels: Readonly<Record<string, readonly string[]>> = {
  // Kernels know the scratch memory of their thread; the run loop calls kernels.
  ops: ["backends"],
  backends: ["ops"],
}

const entries = ["index.ts", "mpi/index.ts"]
const allFolders = [...Object.keys(allowed), "build", "test"]
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
  /** What these are called here. */
  readonly given: readonly string[]
  /** Whether it is exported again. */
  readonly isPassedOn: boolean
  /** Whether it is there when the file is loaded, rather than a type or asked for later. */
  readonly isLoaded: boolean
}

const statement = /^(import|export)\s(type\s)?([^"';()]*?)\sfrom\s"([^"]+)"/gm
const aside = /\bimport(?:\(\s*|\s)"([^"]+)"/g

/** What a file imports, at its head or later, and exports again. */
function importsOf(file: string): Import[] {
  const source = text(file)
  const place = (from: string): string => (from.startsWith(".") ? join(dirname(file), from) : from)
  const named = [...source.matchAll(statement)].map(([, verb, type, what = "", from = ""]) => {
    const items = what.startsWith("{") ? what.split(/[{},]\s*/).filter((each) => each.trim()) : []
    const words = items.map((each) =>
      each
        .trim()
        .replace(/^type /, "")
        .split(" "),
    )
    return {
      from: place(from),
      names: items.length > 0 ? words.map(([name = ""]) => name) : ["*"],
      given: words.map((each) => each.at(-1) as string),
      isPassedOn: verb === "export",
      isLoaded: !type && (items.length === 0 || items.some((each) => !each.startsWith("type "))),
    }
  })
  const others = [...source.matchAll(aside)].map(([, from = ""]) => ({
    from: place(from),
    names: ["*"],
    given: [],
    isPassedOn: false,
    isLoaded: false,
  }))
  return [...named, ...others]
}

t.test("folders import only what they may", (t) => {
  for (const [folder, targets] of Object.entries(allowed)) {
    for (const file of files(folder)) {
      const may = file.endsWith(".as.ts") ? [...(allowedInKernels[folder] ?? [])] : [...targets]
      const imported = importsOf(file).map(({ from }) => from.split("/")[0] as string)
      const others = imported.filter((target) => allFolders.includes(target) && target !== folder)
      const wrong = others.filter((target) => !may.includes(target))
      t.same(wrong, [], file)
    }
  }
  t.end()
})

t.test("no files import each other in a circle, but for types", (t) => {
  const sources = [...Object.keys(allowed), "build"].flatMap(files)
  const next = new Map(
    [...sources, "index.ts", "elm.ts"]
      .filter((file) => !file.endsWith(".as.ts"))
      .map((file) => [
        file,
        importsOf(file).flatMap(({ from, isLoaded }) => (isLoaded ? from : [])),
      ]),
  )
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) t.fail([...path.slice(path.indexOf(file)), file].join(" → "))
    if (done.has(file) || path.includes(file)) return
    for (const each of next.get(file) ?? []) walk(each, [...path, file])
    done.add(file)
  }
  for (const file of next.keys()) walk(file, [])
  t.ok(done.size > 200, `${done.size} files`)
  t.end()
})

t.test("cli/: commands know the line, the line the terminal, the terminal neither", (t) => {
  const below = { line: ["line", "terminal"], terminal: ["terminal"] }
  for (const [folder, may] of Object.entries(below)) {
    for (const file of files(join("cli", folder))) {
      const own = importsOf(file).flatMap(({ from }) => /^cli\/(\w+)/.exec(from)?.[1] ?? [])
      t.same(
        own.filter((target) => !may.includes(target)),
        [],
        file,
      )
    }
  }
  t.end()
})

t.test("the library and its measurements know no terminal and no command line", (t) => {
  const terminal = ["commander", "console-table-printer", "picocolors"]
  const seen = new Set(["index.ts", ...files("bench")])
  for (const file of seen) {
    const all = importsOf(file)
    t.same(
      all.filter(({ from }) => terminal.includes(from) || /^(cli|mpi)\//.test(from)),
      [],
      file,
    )
    for (const { from } of all) if (from.endsWith(".ts")) seen.add(from)
    // started.ts is a process of its own, which tells its time to the one that began it.
    const mayPrint = !file.startsWith("bench/") || file.endsWith("/started.ts")
    if (!mayPrint) t.notMatch(text(file), /\bconsole\.|\bprocess\.std(out|err)\b/, file)
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

t.test("where files lie, model/files alone knows", (t) => {
  const own = ["http_tree", "kinds", "page", "remote", "version"].map(
    (name) => `model/files/${name}.ts`,
  )
  const [others, socket] = [Object.keys(allowed).flatMap(files), "serve/listen.ts"]
  for (const file of others.filter((name) => !name.startsWith("model/files/") && name !== socket)) {
    const known = importsOf(file).filter(({ from }) => own.includes(from))
    t.same(known, [], file)
    t.notMatch(text(file), /["'`/^](https?|file):(?!\/\/www\.w3\.org)|\bhttps\?/, file)
  }
  t.end()
})

/** What is a file of a folder that exports this type, and a line in that list. */
const lists: Readonly<Record<string, readonly [folder: string, type: string, list: string]>> = {
  "a family of models": ["model/architectures", "Architecture<", "model/architectures/index.ts"],
  "a checkpoint format": [
    "model/checkpoints",
    "CheckpointFormat =",
    "model/checkpoints/formats.ts",
  ],
  "an objective of tuning": ["train/tune", "TuneObjective<", "train/tune/index.ts"],
  "a format that models are written in": [
    ...(["model/checkpoints", "CheckpointWriter =", "model/checkpoints/writers.ts"] as const),
  ],
}
for (const [what, [folder, type, list]] of Object.entries(lists)) {
  t.test(`${what} is one file, and one line in the list`, (t) => {
    const declared = new RegExp(`^export const \\w+: ${type}`, "m")
    const own = files(folder).filter((file) => declared.test(text(file)))
    const inList = importsOf(list).map(({ from }) => from)
    t.ok(own.length > 1)
    t.same(inList.filter((from) => own.includes(from)).sort(), own.sort())
    t.end()
  })
}

t.test("a task of evaluation is one file, and one line in the list", async (t) => {
  const isTask = /= (multipleChoice|arc)\(|: Group = /
  const own = files("eval/tasks").filter((file) => isTask.test(text(file)))
  const list = importsOf("eval/tasks/index.ts").map(({ from }) => from)
  t.same(list.filter((from) => from.startsWith("eval/tasks/")).sort(), own.sort())
})

t.test("the interpreter of Jinja is loaded where a template is rendered, and no sooner", (t) => {
  const jinja = "@huggingface/jinja"
  const users = allFolders.flatMap(files).filter((file) => text(file).includes(`"${jinja}"`))
  const own = ["eval/own/templates.ts", "model/chat/template.ts"]
  t.same(users.sort(), [...own, "test/structure.test.ts"])
  const found = own.flatMap(importsOf).filter(({ from }) => from === jinja)
  t.ok(found.every(({ isLoaded }) => !isLoaded))
  t.end()
})

t.test("a processor of logits is one file, and one line in the list", (t) => {
  const own = files("model/generate/processors").filter((file) =>
    /^export const \w+(: Processor<[\s\S]*?)? = (numeric\()?\{\n {2}field:/m.test(text(file)),
  )
  const list = importsOf("model/generate/processors/index.ts").map(({ from }) => from)
  t.ok(list.length > 15)
  t.same(list.sort(), own.sort())
  t.end()
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
        (!each.isPassedOn || entries.includes(each.file) || isUsed(each.file, name)),
    )
  for (const folder of [...Object.keys(allowed), "build"]) {
    for (const file of files(folder).filter((file) => !file.endsWith(".as.ts"))) {
      const own = text(file).matchAll(
        /^export (?:async )?(?:abstract )?(?:function\*?|const|class|interface|type) (\w+)/gm,
      )
      const passedOn = importsOf(file).flatMap((each) => (each.isPassedOn ? each.given : []))
      const names = [...[...own].map(([, name = ""]) => name), ...passedOn]
      const unused = names.filter((name) => !entries.includes(file) && !isUsed(file, name))
      t.same(unused, [], file)
    }
  }
  t.end()
})

t.test("the engine is whole by itself: no other folder gives it something as it is loaded", (t) => {
  for (const file of files("engine")) {
    t.notMatch(text(file), /^export (function|const) set[A-Z]/m, file)
  }
  const { sideEffects } = JSON.parse(text("package.json")) as { sideEffects: string[] }
  const others = sideEffects.filter((name) => !/(worker|elm)\.js$/.test(name))
  t.same(others, [], "a bundler may leave out what is not used")
  t.end()
})

t.test("model/ and train/ ask no backend for a kernel by its name", (t) => {
  for (const file of [...files("model"), ...files("train"), ...files("bench")]) {
    t.notMatch(text(file), /\.has\("[a-z]+[A-Z]\w*"\)/, file)
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

t.test("each file of the chains in docs/code.md imports the next", (t) => {
  const links = (chain: string): string[] =>
    [...chain.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, file = ""]) => file)
  const chains = text("docs/code.md")
    .split("\n\n")
    .filter((part) => part.includes("→"))
    .map((part) => links(part).filter((file) => !file.endsWith(".as.ts")))
  for (const chain of chains) {
    for (const [i, next] of chain.slice(1).entries()) {
      const file = chain[i] as string
      const imported = importsOf(file).map(({ from }) => from)
      // Or by the list of its folder.
      const listed = imported.filter((each) => each.endsWith("/index.ts")).flatMap(importsOf)
      t.ok([...imported, ...listed.map(({ from }) => from)].includes(next), `${file} → ${next}`)
    }
  }
  t.ok(chains.flat().length > 10)
  t.end()
})
