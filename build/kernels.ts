// Builds the WebAssembly modules: writes the AssemblyScript entry that gives every kernel of the op
// table a place in the function table, compiles it in four variants, and embeds each as a module of
// JavaScript; and embeds the WGSL kernels (shaders.ts). Run after tsc: node dist/build/kernels.js,
// with --shaders for these alone.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import asc from "assemblyscript/asc"
import { isOwn, isWord, type Op } from "../engine/index.ts"
import { allOps } from "../ops/index.ts"
import { embedShaders } from "./shaders.ts"

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const work = join(root, "dist", "wasm")
const out = join(root, "dist", "backends", "wasm")
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

interface KernelBuild {
  readonly name: string
  readonly flags: readonly string[]
}

const memory = ["--importMemory", "--initialMemory", "32", "--maximumMemory", "65536"]
const shared = ["--sharedMemory"]
const relaxed = ["--enable", "relaxed-simd"]
const variants: readonly KernelBuild[] = [
  { name: "simd", flags: [] },
  { name: "simd-shared", flags: shared },
  { name: "relaxed", flags: relaxed },
  { name: "relaxed-shared", flags: [...shared, ...relaxed] },
]

async function compile({ name, flags }: KernelBuild, kernels: readonly string[]): Promise<void> {
  const target = join(work, `${name}.wasm`)
  const options = [
    "-O3",
    "--noAssert",
    "--runtime",
    "stub",
    "--enable",
    "simd",
    "--enable",
    "threads",
  ]
  const { error, stderr } = await asc.main([
    join(work, "entry.as.ts"),
    ...["--outFile", target, "--noExportMemory", "--memoryBase", "65536"],
    ...options,
    ...memory,
    ...flags,
  ])
  if (error) throw new Error(`${name}: ${error.message}\n${stderr.toString()}`)
  const bytes = readFileSync(target)
  const text = `export const kernels = ${JSON.stringify(kernels)}\nexport const base64 = "${bytes.toString("base64")}"\n`
  writeFileSync(join(out, `kernels-${name}.js`), text)
  console.log(`kernels-${name}.js: ${kernels.length} kernels, ${bytes.length} bytes`)
}

async function buildModules(): Promise<void> {
  mkdirSync(work, { recursive: true })
  mkdirSync(out, { recursive: true })
  const files = findKernels()
  const ops = allOps.filter((op) => files.has(op.name))
  writeFileSync(join(work, "entry.as.ts"), entry(ops, files))
  const names = ops.map((op) => op.name)
  for (const variant of variants) await compile(variant, names)
  rmSync(work, { recursive: true })
}

embedShaders(root, allOps)
if (!process.argv.includes("--shaders")) await buildModules()
