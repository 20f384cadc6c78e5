// Builds the WebAssembly modules: writes the AssemblyScript entry that gives every kernel of the op
// table a place in the function table, compiles it with and without relaxed SIMD, and embeds each,
// for shared memory and for memory of one thread, as a module of JavaScript, unless those that are there were made of
// the same; and embeds the WGSL kernels (shaders.ts). Run after tsc: node dist/build/kernels.js, with --shaders for
// these alone.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import asc from "assemblyscript/asc"
import { isOwn, isWord, type Op } from "../engine/index.ts"
import { allOps } from "../ops/index.ts"
import { digestOf, filesIn } from "./digest.ts"
import { embedShaders } from "./shaders.ts"

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const work = join(root, "dist", "wasm")
const out = join(root, "dist", "backends", "wasm")
const stamp = join(root, "dist", "build", "kernels.txt")
const headerBytes = 8

/** Exported kernel name → file under ops/, without the .ts, of every .as.ts there. */
function findKernels(): Map<string, string> {
  const found = new Map<string, string>()
  const all = readdirSync(join(root, "ops"), { recursive: true, encoding: "utf8" })
  for (const file of all.filter((name) => name.endsWith(".as.ts"))) {
    const text = readFileSync(join(root, "ops", file), "utf8")
    for (const [, name] of text.matchAll(/^export function (\w+)/gm)) {
      found.set(name as string, file.replace(/\.ts$/, ""))
    }
  }
  return found
}

/** The arguments of an op's kernel: pointers of inputs and of outputs that are not aliases, params. */
function argumentsOf(op: Op): string[] {
  const own = op.outputs.filter((name) => isOwn(op, name))
  const pointers = [...op.inputs, ...own].map(() => "usize")
  const params = op.params.map((name) => (isWord(name) ? "u32" : "f32"))
  return [...pointers, ...params]
}

function stepFunction(op: Op): string {
  const types = argumentsOf(op)
  const loads = types.map((type, i) => `load<${type}>(p, ${headerBytes + 4 * i})`)
  return (
    `function ${op.name}Step(p: usize, begin: u32, end: u32): void {\n` +
    `  ${op.name}(${[...loads, "begin", "end"].join(", ")})\n}`
  )
}

function entry(ops: readonly Op[], files: ReadonlyMap<string, string>): string {
  const names = ops.map((op) => op.name)
  const up = relative(work, root)
  const imports = names.map((name) => `import { ${name} } from "${up}/ops/${files.get(name)}"`)
  const cases = names.map((name, i) => `    case ${i}: return ${name}Step.index`)
  return [
    `export { runPlan, serve, stop, fail, useWideTiles, useRelaxedDot, useCrowded } from "${up}/backends/wasm/run.as"`,
    `export { setScratch } from "${up}/backends/wasm/thread.as"`,
    ...imports,
    `export { ${names.join(", ")} }`,
    ...ops.map(stepFunction),
    "/** Place in the function table of kernel number `kernel`. */",
    "export function tableIndex(kernel: u32): u32 {",
    "  switch (kernel) {",
    ...cases,
    "    default: return 0",
    "  }",
    "}",
    "",
  ].join("\n")
}

const builds = [
  { name: "simd", flags: [] },
  { name: "relaxed", flags: ["--enable", "relaxed-simd"] },
] as const

const options = [
  "-O3",
  "--noAssert",
  ...["--runtime", "stub"],
  ...["--enable", "simd"],
  ...["--enable", "threads"],
  ...["--noExportMemory", "--memoryBase", "65536"],
  ...["--importMemory", "--initialMemory", "32", "--maximumMemory", "65536", "--sharedMemory"],
]

/** A module that imports shared memory, as one that imports memory of a single thread. */
function unshared(module: Uint8Array): Uint8Array {
  const field = Buffer.from("\x06memory\x02", "latin1")
  const at = Buffer.from(module).indexOf(field) + field.length
  if (at < field.length || module[at] !== 3) throw new Error("the module's memory is not shared")
  return module.with(at, 1)
}

function embed(name: string, kernels: readonly string[], module: Uint8Array): void {
  const base64 = Buffer.from(module).toString("base64")
  const text = `export const kernels = ${JSON.stringify(kernels)}\nexport const base64 = "${base64}"\n`
  writeFileSync(join(out, `kernels-${name}.js`), text)
  console.log(`kernels-${name}.js: ${kernels.length} kernels, ${module.length} bytes`)
}

async function compile(flags: readonly string[]): Promise<Uint8Array> {
  const target = join(work, "kernels.wasm")
  const entry = join(work, "entry.as.ts")
  const { error, stderr } = await asc.main([entry, "--outFile", target, ...options, ...flags])
  if (error) throw new Error(`${flags.join(" ")}: ${error.message}\n${stderr.toString()}`)
  return new Uint8Array(readFileSync(target))
}

/** Digests of what the modules were made of, and of the modules. */
function stampOf(entry: string): string {
  const kernels = ["ops", "backends"].flatMap((folder) => filesIn(root, folder, /\.as\.ts$/))
  const made = filesIn(root, join("dist", "backends", "wasm"), /^kernels-.*\.js$/)
  const compiler = ["dist/build/kernels.js", "node_modules/assemblyscript/package.json"]
  return digestOf(root, [...kernels, ...compiler, ...made], entry)
}

async function buildModules(): Promise<void> {
  mkdirSync(out, { recursive: true })
  const files = findKernels()
  const ops = allOps.filter((op) => files.has(op.name))
  const text = entry(ops, files)
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === stampOf(text)) return
  mkdirSync(work, { recursive: true })
  writeFileSync(join(work, "entry.as.ts"), text)
  const names = ops.map((op) => op.name)
  for (const { name, flags } of builds) {
    const module = await compile(flags)
    embed(`${name}-shared`, names, module)
    embed(name, names, unshared(module))
  }
  rmSync(work, { recursive: true })
  writeFileSync(stamp, stampOf(text))
}

embedShaders(root, allOps)
if (!process.argv.includes("--shaders")) await buildModules()
