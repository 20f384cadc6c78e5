// Embeds the shaders of the op table. A .wgsl file under ops/ holds declarations that start at the left
// margin: functions, constants, workgroup variables and entry points, @compute. The shader of an entry
// point is what it reaches in the files that the op's declaration names (engine/kernel.ts) and in those
// of ops/shared/. In front of it the backend puts (backends/webgpu/prelude.ts):
//   - a storage array of each input and each output with memory of its own, by name, in order;
//   - `param`, with the op's parameters in order and the number of workgroups, `Groups`; where WGSL
//     reserves a name, another one: std is deviation;
//   - for a tensor of several dtypes `name_get`, `name_put` and the constant `nameType`;
//   - the constants of the kernel.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { KernelFeature, KernelVariant, Op } from "../engine/index.ts"
import { fileFeatures } from "../ops/shared/features.ts"

interface Declaration {
  readonly name: string
  readonly text: string
  /** Under ops/. */
  readonly file: string
  readonly isEntry: boolean
}

/** By file, then by name. */
type Sources = ReadonlyMap<string, ReadonlyMap<string, Declaration>>

const heads = /^(?:@.*)?\b(?:fn|const|struct|alias|override|var(?:<\w+>)?)\s+(\w+)/m

/** The declarations of a file, each with the comments above it and the line where it begins. */
function declarationsOf(file: string, text: string): Declaration[] {
  const found: Declaration[] = []
  let open: string[] = []
  text.split("\n").forEach((line, i) => {
    const comment = line === "" || line.startsWith("//")
    if (comment && open.every((l) => l.startsWith("//"))) {
      open = line === "" ? [] : [...open, line]
      return
    }
    if (open.every((l) => l.startsWith("//"))) open.push(`//# ops/${file}:${i + 1}`)
    open.push(line)
    if (line !== "}" && !/^(const|var|alias|override).*;$/.test(line)) return
    const code = open.join("\n")
    const name = heads.exec(code)?.[1]
    if (!name) throw new SyntaxError(`ops/${file}:${i + 1}: cannot read this declaration`)
    found.push({ name, text: code, file, isEntry: code.includes("@compute") })
    open = []
  })
  if (open.some((l) => l !== "" && !l.startsWith("//"))) {
    throw new SyntaxError(`ops/${file}: the last declaration does not end`)
  }
  return found
}

function sourcesOf(folder: string): Sources {
  const all = readdirSync(folder, { recursive: true, encoding: "utf8" })
  const files = all.filter((name) => name.endsWith(".wgsl")).sort()
  return new Map(
    files.map((file) => {
      const found = declarationsOf(file, readFileSync(join(folder, file), "utf8"))
      const twice = found.find(({ name }, i) => found.findIndex((d) => d.name === name) < i)
      if (twice) throw new SyntaxError(`ops/${file}: ${twice.name} is declared twice`)
      return [file, new Map(found.map((declaration) => [declaration.name, declaration]))]
    }),
  )
}

/** What the functions that the prelude makes for a tensor call, by how their names end. */
const called = { _put: ["packHalves", "packBrains"], _half: ["eightHalves", "eightBrains"] }

/** The words of code; what the prelude's functions call counts as named there. */
function wordsOf(text: string): string[] {
  const words = text.replace(/\/\/.*$/gm, "").match(/\b\w+\b/g) ?? []
  const more = Object.entries(called).flatMap(([end, names]) =>
    words.some((word) => word.endsWith(end)) ? names : [],
  )
  return [...words, ...more]
}

/** Names that a function gives to parameters and variables, which stand before those of others. */
const localsOf = ({ text }: Declaration): Set<string> =>
  new Set(
    [...text.matchAll(/(?:\b(?:let|var) +(\w+))|(?:(\w+): )/g)].map(([, a, b]) => a ?? b ?? ""),
  )

/** Everything that an entry point reaches in files, of which the first that declares a name is meant;
 *  the entry point last. */
function reached(
  entry: Declaration,
  files: readonly ReadonlyMap<string, Declaration>[],
): Declaration[] {
  const found = new Set<Declaration>()
  const visit = (declaration: Declaration): void => {
    if (found.has(declaration)) return
    found.add(declaration)
    const own = localsOf(declaration)
    for (const word of wordsOf(declaration.text).filter((word) => !own.has(word))) {
      const meant = files.flatMap((file) => file.get(word) ?? []).find(({ isEntry }) => !isEntry)
      if (meant) visit(meant)
    }
  }
  visit(entry)
  return [...found].reverse()
}

/** The texts of declarations, each once. */
class Texts {
  readonly #places = new Map<string, number>()

  /** JavaScript for the text of several. */
  joined(declarations: readonly Declaration[]): string {
    const places = declarations.map(({ text }) => {
      const known = this.#places.get(text) ?? this.#places.size
      this.#places.set(text, known)
      return known
    })
    return `join(${places.join(", ")})`
  }

  toString(): string {
    const texts = [...this.#places.keys()].map((text) => `  ${JSON.stringify(text)},\n`)
    const join = 'const join = (...places) => places.map((i) => texts[i]).join("\\n")'
    return `const texts = [\n${texts.join("")}]\n${join}\n`
  }
}

const featureOf = (file: string): KernelFeature | undefined => fileFeatures[file]

/** The files of a kernel where these features are in use: those written for a feature first, and those
 *  that the declaration names before shared ones. */
function filesOf(
  { from }: KernelVariant,
  sources: Sources,
  features: readonly KernelFeature[],
): string[] {
  const shared = [...sources.keys()].filter((file) => file.startsWith("shared/"))
  const all = [...from, ...shared].filter((file) => {
    const feature = featureOf(file)
    return feature === undefined || features.includes(feature)
  })
  return [...all.filter(featureOf), ...all.filter((file) => !featureOf(file))]
}

/** The shaders of an entry point, of those with most features first, as JavaScript. */
function shadersOf(op: Op, variant: KernelVariant, sources: Sources, texts: Texts): string {
  const { entry: name = op.name, from, needs = [] } = variant
  const absent = from.find((file) => !sources.has(file))
  if (absent)
    throw new Error(`${op.name}: its kernel ${name} is from ops/${absent}, which is no file`)
  const entry = from.flatMap((file) => sources.get(file)?.get(name) ?? []).find((d) => d.isEntry)
  if (!entry) throw new Error(`${op.name}: no entry point ${name} in ${from.join(", ")}`)
  const link = (features: readonly KernelFeature[]): Declaration[] => {
    const files = filesOf(variant, sources, [...needs, ...features])
    return reached(
      entry,
      files.flatMap((file) => sources.get(file) ?? []),
    )
  }
  const every = link(Object.values(fileFeatures)).flatMap(({ file }) => featureOf(file) ?? [])
  const optional = [...new Set(every)].filter((feature) => !needs.includes(feature))
  const choices: KernelFeature[][] = [[]]
  for (const feature of optional) choices.push(...choices.map((set) => [...set, feature]))
  const shaders = choices
    .sort((a, b) => b.length - a.length)
    .map((set) => `{ features: ${JSON.stringify(set)}, code: ${texts.joined(link(set))} }`)
  return `[${shaders.join(", ")}]`
}

/** Writes shaders.js, with the shaders of every entry point that an op names. */
export function embedShaders(root: string, ops: readonly Op[]): void {
  const sources = sourcesOf(join(root, "ops"))
  const texts = new Texts()
  const entries = new Map<string, string>()
  for (const op of ops) {
    for (const variant of op.gpu) {
      const { entry = op.name } = variant
      const shaders = shadersOf(op, variant, sources, texts)
      if ((entries.get(entry) ?? shaders) !== shaders) {
        throw new Error(`${op.name}: the entry point ${entry} is linked from other files elsewhere`)
      }
      entries.set(entry, shaders)
    }
  }
  const all = [...sources.values()].flatMap((file) => [...file.values()])
  const idle = all.find(({ isEntry, name }) => isEntry && !entries.has(name))
  if (idle) throw new Error(`ops/${idle.file}: no op has the entry point ${idle.name}`)
  const lines = [...entries].map(([entry, shaders]) => `  ${entry}: ${shaders},`)
  const text = `${texts}export const shaders = {\n${lines.join("\n")}\n}\n`
  writeFileSync(join(root, "dist", "backends", "webgpu", "shaders.js"), text)
  console.log(`webgpu/shaders.js: ${lines.length} entry points, ${text.length} bytes`)
}
