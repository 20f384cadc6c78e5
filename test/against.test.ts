// `elm bench --against`: packages that are not there, one that computes something else, and one that
// computes the same, which is this engine under another name.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { peers } from "../bench/peers/against.ts"
import { elm, endsOf, nodeIn } from "./command.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-against-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const library = JSON.stringify(new URL("../index.js", import.meta.url).href)

/** A package for node-llama-cpp's name: it reads the GGUF file that it is given; `shift` is added to each
 *  token. */
function install(folder: string, shift: number): string {
  const where = join(dir, folder, "node_modules", "node-llama-cpp")
  mkdirSync(where, { recursive: true })
  const exports = { ".": { types: "./none.d.ts", import: "./main.mjs" } }
  writeFileSync(join(where, "package.json"), JSON.stringify({ version: "0.0.9", exports }))
  writeFileSync(
    join(where, "main.mjs"),
    `import { OpenELM, open } from ${library}
export async function getLlama({ build, gpu }) {
  if (build !== "never" || gpu !== false) throw new Error("something would be built")
  const backend = await open("wasm", { threads: 1 })
  const loadModel = async ({ modelPath }) => {
    const model = await OpenELM.load(modelPath, { backend })
    async function* evaluate(ids) {
      for await (const { id } of model.generate(ids, { temperature: 0, stop: [] })) yield id + ${shift}
    }
    const sequence = { evaluate, clearHistory: async () => {} }
    const createContext = async () => ({ getSequence: () => sequence, dispose: async () => {} })
    return { createContext, dispose: () => model.close() }
  }
  return { loadModel, dispose: async () => backend.close() }
}
`,
  )
  return join(dir, folder)
}

const model = fixture("gguf/wide-a-q4_k_m.gguf")
const against = ["bench", "--weights", model, "--threads", "1", "--prompt", "3", "--against"]
const short = ["--generate", "3", "--repeat", "2", "--json"]

t.test("a package that is not there, or computes something else, is refused by name", async (t) => {
  const lines = [
    [...against, "onnxruntime-web", ...short],
    [...against, "onnxruntime", ...short],
    [...against, "node-llama-cpp", "--explain", ...short],
    [...against, "node-llama-cpp", ...short],
  ]
  const ended = await endsOf(lines, install("wrong", 1))
  t.same(
    ended.map(({ code }) => code),
    [1, 2, 2, 1],
  )
  t.match(ended[0]?.stderr, /onnxruntime-web is not installed\. Run npm install onnxruntime-web/)
  t.match(ended[1]?.stderr, /There is no onnxruntime \(Did you mean onnxruntime-/)
  t.match(ended[2]?.stderr, /--explain has no effect with --against/)
  t.match(ended[3]?.stderr, /node-llama-cpp 0\.0\.9 computes something else: in f32 its greedy/)
})

t.test("one that computes the same is timed in turns, its ratio printed", async (t) => {
  const dtypes = ["--dtype", "f32,q8"]
  const folder = install("right", 0)
  const ended = await nodeIn(folder, elm, ...against, "node-llama-cpp", ...dtypes, ...short)
  t.equal(ended.code, 0, ended.stderr)
  const { schema, rows } = JSON.parse(ended.stdout)
  t.equal(schema, "elm-bench-against/1")
  t.same(
    rows.map((row: Record<string, string>) => `${row.program} ${row.version} ${row.dtype}`),
    ["openelm  f32", "node-llama-cpp 0.0.9 f32", "openelm  q8", "node-llama-cpp 0.0.9 q8"],
  )
  for (const { program, promptRatio, generationRatio, repeats } of rows) {
    t.equal(repeats.length, 2)
    t.ok(promptRatio > 0 && generationRatio > 0)
    if (program === "openelm") t.same([promptRatio, generationRatio], [1, 1])
  }
})

t.test("none of them is a dependency", (t) => {
  const fields = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
  const kinds = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"]
  const own = kinds.flatMap((kind) => Object.keys(fields[kind] ?? {}))
  t.ok(own.includes("commander"))
  for (const { name } of peers) t.notOk(own.includes(name), name)
  t.end()
})
