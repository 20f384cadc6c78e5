// The types of the package: whatever a public signature names can be imported by its name, names of
// backends and of sizes are known, and wrong ones do not compile.
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import t, { type Test } from "./tap.ts"

const dist = fileURLToPath(new URL("..", import.meta.url))
const index = join(dist, "index.d.ts")

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  skipDefaultLibCheck: true,
  types: [],
}

/** Programs share declarations, once read and parsed. */
const host = ts.createCompilerHost(options)
const parsed = new Map<string, ts.SourceFile | undefined>()
const parse = host.getSourceFile.bind(host)
host.getSourceFile = (name, ...rest) => {
  const file = parsed.get(name) ?? parse(name, ...rest)
  if (name.endsWith(".d.ts")) parsed.set(name, file)
  return file
}
const programOf = (path: string): ts.Program => ts.createProgram([path], options, host)

const isPrivate = (node: ts.HasModifiers): boolean =>
  ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword) ?? false

/** The name of a type that a node refers to. */
function nameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName
  if (ts.isExpressionWithTypeArguments(node)) return node.expression
  return ts.isImportTypeNode(node) ? node.qualifier : undefined
}

/** Whether a type is of this package, and has a name outside of where it is used. */
const isOurs = (symbol: ts.Symbol): boolean =>
  !(symbol.flags & ts.SymbolFlags.TypeParameter) &&
  (symbol.declarations ?? []).some((each) => each.getSourceFile().fileName.startsWith(dist))

t.test("every type that a public signature names is exported", (t) => {
  const program = programOf(index)
  const checker = program.getTypeChecker()
  const resolved = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const moduleOf = (path: string) =>
    checker.getSymbolAtLocation(program.getSourceFile(path) as ts.SourceFile) as ts.Symbol
  /** What a module exports, and what the modules do that it exports as namespaces. */
  const exportsOf = (symbol: ts.Symbol): ts.Symbol[] =>
    checker.getExportsOfModule(symbol).flatMap((each) => {
      const found = resolved(each)
      return found.flags & ts.SymbolFlags.ValueModule ? exportsOf(found) : [found]
    })
  const exported = new Set(exportsOf(moduleOf(index)))
  t.ok(exported.size > 60, `${exported.size} names`)

  const missing = new Set<string>()
  const visit = (from: string, node: ts.Node): void => {
    if (ts.canHaveModifiers(node) && isPrivate(node)) return
    const name = nameIn(node)
    const symbol = name && checker.getSymbolAtLocation(name)
    if (symbol && isOurs(resolved(symbol)) && !exported.has(resolved(symbol))) {
      missing.add(`${from} names ${resolved(symbol).name}`)
    }
    ts.forEachChild(node, (child) => visit(from, child))
  }
  for (const symbol of exported) {
    for (const declaration of symbol.declarations ?? []) visit(symbol.name, declaration)
  }
  t.same([...missing].sort(), [])
  t.end()
})

t.test("no type of WebGPU is needed to use the package", (t) => {
  const program = programOf(index)
  const ours = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(dist))
  t.ok(ours.length > 20, `${ours.length} files are reached`)
  for (const { fileName, text } of ours) t.notMatch(text, /\bGPU[A-Z]\w+/, fileName)
  t.end()
})

/** What the compiler says of a module that imports the package, line by line; and of all that it imports, where asked. */
function complaintsOf(t: Test, code: string, { isWhole = false } = {}): string[] {
  const from = JSON.stringify(join(dist, "index.js"))
  const folder = t.testdir({ "code.ts": `${code.replaceAll('"openelm"', from)}\nexport {}\n` })
  const path = join(folder, "code.ts")
  const program = programOf(path)
  const asked = isWhole ? undefined : program.getSourceFile(path)
  return ts.getPreEmitDiagnostics(program, asked).map(({ file, start = 0, messageText }) => {
    const { line } = file?.getLineAndCharacterOfPosition(start) ?? { line: 0 }
    return `${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
  })
}

t.test("names of backends and sizes say what comes", (t) => {
  const right = `
    import { type BackendName, OpenELM, open } from "openelm"
    const wasm = await open("wasm", { threads: 2, simd: "relaxed" })
    const words: string = wasm.build
    const threads: number = wasm.threads
    const relaxed: boolean = wasm.features.has("relaxed-simd")
    const gpu = await open("webgpu", { without: ["subgroups"] })
    const halves: boolean = gpu.features.has("shader-f16")
    const js: string = (await open("js")).build
    const any = await open("wasm" as BackendName)
    const model = await OpenELM.random("270M", { backend: any })
    await OpenELM.random("openelm-270m" as string, { backend: wasm })
    await model.save(new URL("file:///tmp/model"))
    for await (const { id } of model.generate([1], { stop: ["text", 3] })) console.log(id)
    await using closed = model
    console.log(words, threads, relaxed, halves, js, any.build, closed)`
  t.same(complaintsOf(t, right, { isWhole: true }), [])
  const wrong = `
    import { OpenELM, open } from "openelm"
    await open("cuda")
    await open("js", { threads: 2 })
    await open("webgpu", { threads: 2 })
    ;(await open("js")).threads
    ;(await open("wasm")).features.has("shader-f16")
    await OpenELM.random("270M", {})
    ;(await OpenELM.random("270M", { backend: await open("js") })).usage`
  const found = complaintsOf(t, wrong).map((each) => Number.parseInt(each, 10))
  t.same([...new Set(found)], [3, 4, 5, 6, 7, 8, 9])
  t.end()
})

t.test("an editor completes the names of sizes", (t) => {
  const code = `import { OpenELM } from "openelm"\nvoid OpenELM.random("", {} as never)\n`
  const text = code.replaceAll('"openelm"', JSON.stringify(join(dist, "index.js")))
  const path = join(t.testdir({ "code.ts": text }), "code.ts")
  const service = ts.createLanguageService({
    getScriptFileNames: () => [path],
    getScriptVersion: () => "1",
    getScriptSnapshot: (file) => {
      const found = ts.sys.readFile(file)
      return found === undefined ? undefined : ts.ScriptSnapshot.fromString(found)
    },
    getCurrentDirectory: () => dist,
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
  })
  const at = text.indexOf('random("') + 'random("'.length
  const names = service.getCompletionsAtPosition(path, at, {})?.entries.map(({ name }) => name)
  t.same(names?.sort(), ["1.1B", "270M", "3B", "450M"])
  t.end()
})
