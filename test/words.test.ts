// Words of the tree: one spelling, one meaning for a name, the field's names for things.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "./tap.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const folders = [
  ...["engine", "ops", "backends", "model", "train", "bench", "cli", "build", "test"],
  ...["docs", "examples", "."],
]
/** Files of the project whose names end so. */
const files = (...ends: readonly string[]): readonly string[] =>
  folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: folder !== ".", encoding: "utf8" }).map((name) =>
        join(folder, name),
      ),
    )
    .filter((name) => ends.some((end) => name.endsWith(end)) && !name.startsWith("test/fixtures/"))
const text = (file: string): string => readFileSync(join(root, file), "utf8")

/** What is told of the past has its words. */
const history = ["CHANGELOG.md", "bench/LOG.md"]
/** Files that speak of words themselves. */
const aboutWords = ["test/words.test.ts", "test/train-settings.test.ts", "train/spelling.ts"]

t.test("one spelling, that of quantize", (t) => {
  const stems = "optim|token|quant|revector|summar|minim|maxim|initial|serial|parallel|normal"
  const words = new RegExp(`\\w*(${stems})is(e|ed|es|ers?|ing|ations?)\\b`, "gi")
  t.same("optimise, optimised, Optimiser, tokenises, quantisation".match(words)?.length, 5)
  const all = files(".ts", ".wgsl", ".md", ".yaml", ".js", ".mjs", ".py")
  for (const file of all.filter((name) => ![...history, ...aboutWords].includes(name))) {
    const found = text(file).match(words)
    if (found) t.fail(`${file}: ${found.join(", ")}`)
  }
  t.ok(all.length > 400, `${all.length} files`)
  t.end()
})

t.test("things have the field's names", (t) => {
  const retired =
    /\b(class|interface|type|function|fn|const|let|var(<\w+>)?) (Bank|Line|settle|apart|mixedToo)\b/
  t.match("var<workgroup> mixedToo: array<f32, 512>;", retired)
  for (const file of files(".ts", ".wgsl")) {
    if (!aboutWords.includes(file)) t.notMatch(text(file), retired, file)
  }
  t.end()
})

/** Each backend replays plans in a way of its own. */
const ofEach = ["Replay"]
/** Folders whose names mean something inside of them. */
const inner = /^model\/(generate|checkpoints)\//

t.test("the name of an exported type is declared once", (t) => {
  const places = new Map<string, string[]>()
  for (const file of files(".ts").filter(
    (name) => !/^test\/|\.(as|d)\.ts$/.test(name) && !inner.test(name),
  )) {
    const own = text(file).matchAll(/^export (?:abstract )?(?:class|interface|type) (\w+)/gm)
    for (const [, name = ""] of own) places.set(name, [...(places.get(name) ?? []), file])
  }
  const twice = [...places].filter(([name, all]) => all.length > 1 && !ofEach.includes(name))
  t.same(twice, [])
  t.ok(places.size > 250, `${places.size} types`)
  t.end()
})
