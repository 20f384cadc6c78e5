// Embeds the WGSL kernels of the op table. An ops/*/*.wgsl holds declarations that start at the left
// margin: functions, constants, workgroup variables, and for each op an entry point of its name,
// @compute. The shader of an op is what its entry point reaches, in its own file first, then in the
// others. In front of it the backend puts (backends/webgpu/prelude.ts):
//   - a storage array of each input and each output with memory of its own, by name, in order;
//   - `param`, with the op's parameters in order and the number of workgroups, `Groups`;
//   - for a tensor of several dtypes `name_get`, `name_put` and the constant `nameType`.
// Where WGSL reserves a name, the entry point is called `nameKernel`, and the parameter std deviation.
// Comments above an entry point:
//   // groups: P * ceil(M / 8)     how many workgroups it takes; else as many as the op has rows
//   // scalars: w                  tensors in panels that it takes number by number, not by fours
//   // wide: w                     tensors that it takes 16 bytes at a time: `w_half` gives eight
//                                  numbers of a tensor in panels, `w_at` words of others
//   // using: quantized_row        files that come before all others in the search for declarations
//   // fours: x y                 tensors that it takes by fours though they are not in panels
//   // fours: x y if D % 4 == 0   by fours where the parameters are such, else number by number: the
//   //                            kernel says x_four(i) and y_setFour(i, v, end), i its first element
//   // instead of matmul: M > 1    this entry point serves the op where the parameters are such
//   // instead of matmul           it serves the op always, or where `with` says so
//   // with: subgroups shader-f16  only where the GPU has these features and they are in use
// Of those that serve, one with a condition goes before one without, then one with more features.
// A function, too, may say `with`: then it stands for the one of its name without where it can.
// What a shader reaches may ask for constants that follow from the parameters, the entry point first;
// no other file's declaration is meant by their names:
//   // const rows: M
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { features } from "../backends/webgpu/device.ts"
import type { Op } from "../engine/index.ts"

interface Declaration {
  readonly name: string
  readonly text: string
  readonly file: string
  readonly entry: boolean
  readonly features: readonly string[]
}

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
    if (open.every((l) => l.startsWith("//"))) open.push(`//# ${file}:${i + 1}`)
    open.push(line)
    if (line !== "}" && !/^(const|var|alias|override).*;$/.test(line)) return
    const code = open.join("\n")
    const name = heads.exec(code)?.[1]
    if (!name) throw new SyntaxError(`${file}:${i + 1}: cannot read this declaration`)
    const features = featuresOf(code, `${file}:${i + 1}`)
    found.push({ name, text: code, file, entry: code.includes("@compute"), features })
    open = []
  })
  if (open.some((l) => l !== "" && !l.startsWith("//"))) {
    throw new SyntaxError(`${file}: the last declaration does not end`)
  }
  return found
}

const directive = (text: string, name: string): string | undefined =>
  new RegExp(`^// ${name}: (.*)$`, "m").exec(text)?.[1]

/** What a declaration says that it needs. */
function featuresOf(text: string, place: string): string[] {
  const needed = directive(text, "with")?.split(" ") ?? []
  const unknown = needed.find((name) => !features.some((f) => f === name))
  if (unknown === undefined) return needed
  throw new SyntaxError(`${place}: no feature ${unknown}. There are: ${features.join(", ")}`)
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

/** Everything that an entry point reaches with these features beside its own, itself last. */
function reached(
  entry: Declaration,
  all: ReadonlyMap<string, Declaration[]>,
  using: readonly string[],
): Declaration[] {
  const usable = new Set([...entry.features, ...using])
  const stems = directive(entry.text, "using")?.split(" ") ?? []
  const files = new Set([...all.values()].flat().map(({ file }) => file))
  const first = stems.flatMap((stem) => [...files].filter((file) => file.endsWith(`/${stem}.wgsl`)))
  const constants = constantsOf([...all.values()].flat())
  const found = new Set<Declaration>()
  const visit = (declaration: Declaration): void => {
    if (found.has(declaration)) return
    found.add(declaration)
    const own = localsOf(declaration)
    for (const word of wordsOf(declaration.text).filter((word) => !own.has(word))) {
      const named = (all.get(word) ?? []).filter(
        (d) => !d.entry && fits(d, usable) && (d.file === declaration.file || !constants.has(word)),
      )
      const here = chosenOf(named, first, declaration.file)
      if (!here && named.length > 0) {
        throw new SyntaxError(`${declaration.file}: ${word} is in ${named.map((d) => d.file)}`)
      }
      if (here) visit(here)
    }
  }
  visit(entry)
  return [...found].reverse()
}

/** Of declarations with one name: those in the first of the files `first` that has any, of them
 *  those with the most features, of them the one in the file `own`, or the only one. */
function chosenOf(
  named: readonly Declaration[],
  first: readonly string[],
  own: string,
): Declaration | undefined {
  const file = first.find((file) => named.some((d) => d.file === file))
  const near = file ? named.filter((d) => d.file === file) : named
  const most = Math.max(...near.map(({ features }) => features.length))
  const best = near.filter(({ features }) => features.length === most)
  return best.find((d) => d.file === own) ?? (best.length === 1 ? best[0] : undefined)
}

const fits = ({ features }: Declaration, usable: ReadonlySet<string>): boolean =>
  features.every((name) => usable.has(name))

/** Every choice of features that make an entry point reach something else, the most first. */
function choicesOf(entry: Declaration, all: ReadonlyMap<string, Declaration[]>): string[][] {
  const every = reached(entry, all, features).flatMap((d) => d.features)
  const optional = [...new Set(every)].filter((name) => !entry.features.includes(name))
  const choices: string[][] = [[]]
  for (const name of optional) choices.push(...choices.map((set) => [...set, name]))
  return choices.sort((a, b) => b.length - a.length)
}

/** A formula over an op's parameters, and names of constants, in JavaScript. */
const formulaOf = (formula: string): string => formula.replace(/\b(ceil|min|max)\(/g, "Math.$1(")

/** A formula as a JavaScript function. */
function functionOf(op: Op, formula: string, constants: readonly string[] = []): string {
  const words = new Set(formula.match(/\b\w+\b/g))
  const sizes = [...op.params, ...constants].filter((name) => words.has(name)).join(", ")
  return `({ ${sizes} }) => ${formulaOf(formula)}`
}

/** The constants that declarations ask for, the first one of a name. */
function constantsOf(code: readonly Declaration[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const { text } of code) {
    for (const [, name = "", formula = ""] of text.matchAll(/^\/\/ const (\w+): (.*)$/gm)) {
      if (!found.has(name)) found.set(name, formula)
    }
  }
  return found
}

/** Constants as one JavaScript function of the parameters: later ones may use earlier ones. */
function constantFunction(op: Op, constants: ReadonlyMap<string, string>): string {
  const words = new Set([...constants.values()].join(" ").match(/\b\w+\b/g))
  const sizes = op.params.filter((name) => words.has(name)).join(", ")
  const lines = [...constants].map(([name, formula]) => `const ${name} = ${formulaOf(formula)}`)
  return `({ ${sizes} }) => { ${lines.join("; ")}; return { ${[...constants.keys()].join(", ")} } }`
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

interface Source {
  readonly all: ReadonlyMap<string, Declaration[]>
  readonly texts: Texts
}

/** An entry point as JavaScript: its name, its shader, and what its comments say; twice if it takes
 *  tensors by fours for some parameters. */
function kernelsOf(op: Op, entry: Declaration, source: Source, using: readonly string[]): string[] {
  const condition = directive(entry.text, `instead of ${op.name}`)
  const [fours = "", sizes] = directive(entry.text, "fours")?.split(" if ") ?? []
  const kernel = (fours: string, when: string | undefined): string =>
    kernelOf(op, entry, { source, using, fours, when })
  if (!sizes) return [kernel(fours, condition)]
  return [kernel(fours, condition ? `${condition} && ${sizes}` : sizes), kernel("", condition)]
}

interface Choice {
  readonly source: Source
  readonly using: readonly string[]
  readonly fours: string
  readonly when: string | undefined
}

function kernelOf(op: Op, entry: Declaration, { source, using, fours, when }: Choice): string {
  const declarations = reached(entry, source.all, using)
  const constants = constantsOf([...declarations].reverse())
  const groups = directive(entry.text, "groups")
  const list = (name: string, names = directive(entry.text, name) ?? ""): string =>
    `${name}: ${JSON.stringify(names.split(" ").filter(Boolean))}`
  const fields = [
    `entry: "${entry.name}"`,
    `code: ${source.texts.joined(declarations)}`,
    list("scalars"),
    list("fours", fours),
    list("wide"),
    `features: ${JSON.stringify([...entry.features, ...using])}`,
    ...(constants.size > 0 ? [`constants: ${constantFunction(op, constants)}`] : []),
    ...(groups ? [`groups: ${functionOf(op, groups, [...constants.keys()])}`] : []),
    ...(when ? [`when: ${functionOf(op, when)}`] : []),
  ]
  return `{ ${fields.join(", ")} }`
}

const standsFor = (op: Op, { text }: Declaration): boolean =>
  new RegExp(`^// instead of ${op.name}(:|$)`, "m").test(text)

/** The entry points of an op in the order in which they are tried, the one of its name last. */
function entriesOf(op: Op, all: ReadonlyMap<string, Declaration[]>): Declaration[] {
  const entries = [...all.values()].flat().filter((d) => d.entry)
  const named = entries.find((d) => d.name === op.name || d.name === `${op.name}Kernel`)
  const rank = ({ text, features }: Declaration): number =>
    features.length + (directive(text, `instead of ${op.name}`) ? 100 : 0)
  const others = entries.filter((d) => standsFor(op, d)).sort((a, b) => rank(b) - rank(a))
  return named ? [...others, named] : []
}

/** Writes kernels.js with the shader of every op that has an entry point under `root`/ops. */
export function embedShaders(root: string, ops: readonly Op[]): void {
  const folder = join(root, "ops")
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".wgsl"),
  )
  const all = new Map<string, Declaration[]>()
  for (const file of files.sort()) {
    const text = readFileSync(join(folder, file), "utf8")
    for (const declaration of declarationsOf(`ops/${file}`, text)) {
      all.set(declaration.name, [...(all.get(declaration.name) ?? []), declaration])
    }
  }
  const texts = new Texts()
  const entries = ops.flatMap((op) => {
    const found = entriesOf(op, all).flatMap((entry) =>
      choicesOf(entry, all).flatMap((using) => kernelsOf(op, entry, { all, texts }, using)),
    )
    return found.length > 0 ? [`  ${op.name}: [${found.join(", ")}],`] : []
  })
  const text = `${texts}export const kernels = {\n${entries.join("\n")}\n}\n`
  writeFileSync(join(root, "dist", "backends", "webgpu", "kernels.js"), text)
  console.log(`webgpu/kernels.js: ${entries.length} kernels, ${text.length} bytes`)
}
