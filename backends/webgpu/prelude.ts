// What stands in front of a kernel's text: its bindings and parameters by name, and how numbers of
// 16 bits are read and written. Kernels compute in f32; f16, bf16 and u8 are bound as 32-bit words.
import { type Dim, type DType, isOwn, isWord, type Op } from "../../engine/index.ts"
import type { ChosenKernel, Taken } from "./choose.ts"
import type { Feature } from "./options.ts"

/** How a step uses one of its tensors. */
export interface Argument {
  readonly name: string
  readonly dtype: DType
  /** Whether the shader may write it: then no other argument may lie in the same memory. */
  readonly writable: boolean
  /** The argument whose binding it shares, because it is the same tensor. */
  readonly same?: string
  /** Bindings that it takes where one does not reach, and the bytes that each of them has. */
  readonly windows?: { readonly count: number; readonly bytes: number }
}

export interface BindingShape {
  readonly name: string
  /** Four elements are bound as one: panels, whose last axis is a multiple of 16. */
  readonly vectors: boolean
  /** 16 bytes are bound as one. */
  readonly wide: boolean
}

/** Names of WGSL's reserved words that parameters have. */
const reserved: Readonly<Record<string, string>> = { std: "deviation" }

/** Whether an axis is a multiple of 16 whatever the sizes are, as the last one of panels is. */
const isWhole = ({ symbols, value }: Dim): boolean =>
  [1, 2, 3].every((size) => {
    const all = symbols.map((symbol, i) => [symbol, size + i])
    return value(Object.fromEntries(all)) % 16 === 0
  })

/** The tensors that an op's kernel binds: inputs, then outputs with memory of their own. */
export function slotsOf(op: Op, { scalars, fours, wide }: Taken = {}): BindingShape[] {
  const outputs = op.outputs.filter((name) => isOwn(op, name))
  const slots = [...(op.signature ?? []), ...(op.results ?? [])]
  return [...op.inputs, ...outputs].map((name) => {
    const last = slots.find((slot) => slot.name === name)?.dims.at(-1)
    const panels = last !== undefined && isWhole(last)
    const vectors = panels ? !scalars?.includes(name) : fours?.includes(name)
    return { name, vectors: vectors ?? false, wide: wide?.includes(name) ?? false }
  })
}

/** Parameters that the kernel gets from memory; the dtypes are part of the shader. */
export const fieldsOf = (op: Op): string[] => op.params.filter((name) => !name.endsWith("Type"))

/** What a shader says in order to use an optional feature. */
const directives: Readonly<Partial<Record<Feature, string>>> = {
  "shader-f16": "enable f16;",
  subgroups: "enable subgroups;",
  // That all lanes of a subgroup mean the same place cannot be seen from outside.
  "subgroup-matrix":
    "enable chromium_experimental_subgroup_matrix;\n" +
    "diagnostic(off, chromium.subgroup_matrix_uniformity);",
  "packed-dot": "requires packed_4x8_integer_dot_product;",
}

/** The text in front of a kernel's code for these arguments. */
export function preludeOf(op: Op, args: readonly Argument[], kernel: ChosenKernel): string {
  const { code, features, values } = kernel
  const slots = slotsOf(op, kernel)
  const fields = fieldsOf(op).map(
    (name) => `  ${reserved[name] ?? name}: ${isWord(name) ? "u32" : "f32"},`,
  )
  let binding = 0
  const lines = args.flatMap((arg, i) => {
    const slot = slots[i] as BindingShape
    const text = arg.same === undefined ? declare(arg, slot, binding) : []
    if (arg.same === undefined) binding += arg.windows?.count ?? 1
    const used = access(arg, slot).filter(([name]) => new RegExp(`\\b${name}\\b`).test(code))
    return [...text, ...used.map(([, line]) => line)]
  })
  return [
    ...features.flatMap((name) => directives[name] ?? []),
    ...Object.entries(values).map(([name, value]) => `const ${name} = ${value}u;`),
    "struct Parameters {",
    ...fields,
    "  Groups: u32,",
    "}",
    `@group(0) @binding(${binding}) var<uniform> param: Parameters;`,
    ...lines,
    "",
  ].join("\n")
}

/** The type that a tensor's elements, or several of them, are bound as. */
export function elementOf(dtype: DType, { vectors, wide }: Omit<BindingShape, "name">): string {
  if (dtype === "f32") return vectors || wide ? "vec4f" : "f32"
  if (dtype === "i32") return vectors || wide ? "vec4i" : "i32"
  if (wide) return "vec4u"
  return vectors && dtype !== "u8" ? "vec2u" : "u32"
}

/** Bytes of one element as it is bound. */
const elementBytes: Readonly<Record<string, number>> = { vec4f: 16, vec4i: 16, vec4u: 16, vec2u: 8 }

/** The array of an argument; with several windows also what reads and writes across them. */
function declare(arg: Argument, shape: BindingShape, binding: number): string[] {
  const { name, dtype, writable, windows } = arg
  const mode = writable ? "read_write" : "read"
  const type = elementOf(dtype, shape)
  const array = (name: string, i: number): string =>
    `@group(0) @binding(${binding + i}) var<storage, ${mode}> ${name}: array<${type}>;`
  if (!windows) return [array(name, 0)]
  const each = windows.bytes / (elementBytes[type] ?? 4)
  const numbers = Array.from({ length: windows.count }, (_, i) => i)
  const read = numbers.map((n) => `case ${n}u: { return ${name}_${n}[i % ${each}u]; }`)
  const write = numbers.map((n) => `case ${n}u: { ${name}_${n}[i % ${each}u] = v; }`)
  return [
    ...numbers.map((n) => array(`${name}_${n}`, n)),
    `fn ${name}_read(i: u32) -> ${type} { switch (i / ${each}u) { ${read.join(" ")} default: {} }`,
    `  return ${type}();`,
    "}",
    ...(writable
      ? [
          `fn ${name}_write(i: u32, v: ${type}) { switch (i / ${each}u) {`,
          `  ${write.join(" ")} default: {} } }`,
        ]
      : []),
  ]
}

const codes: Record<DType, number> = { f32: 0, f16: 1, bf16: 2, i32: 3, u8: 4 }

type At = (index: string) => string
type Set = (index: string, value: string) => string

/** Reading and writing numbers of any dtype as f32, by name: one at a time, or vectors by fours. */
function access(arg: Argument, shape: BindingShape): [name: string, text: string][] {
  const { name, dtype, same = name, windows } = arg
  const { vectors, wide } = shape
  const number = vectors ? "vec4f" : "f32"
  const at: At = (i) => (windows ? `${same}_read(${i})` : `${same}[${i}]`)
  const set: Set = (i, v) => (windows ? `${same}_write(${i}, ${v});` : `${same}[${i}] = ${v};`)
  if (wide) {
    const half = `fn ${name}_half(i: u32) -> mat2x4f { return ${wideGet(at, dtype)}; }`
    const type = elementOf(dtype, shape)
    return [
      [`${name}_half`, half],
      [`${name}_at`, `fn ${name}_at(i: u32) -> ${type} { return ${at("i")}; }`],
    ]
  }
  const value = vectors ? vectorGet(at, dtype) : scalarGet(at, dtype)
  const put = vectors
    ? `fn ${name}_put(i: u32, v: vec4f) { ${set("i", vectorPut(dtype))} }`
    : `fn ${name}_put(i: u32, v: vec2f, count: u32) { ${pairPut(set, dtype)} }`
  return [
    [`${name}Type`, `const ${name}Type = ${codes[dtype]}u;`],
    [`${name}_get`, `fn ${name}_get(i: u32) -> ${number} { return ${value}; }`],
    [`${name}_put`, put],
    [`${name}_four`, `fn ${name}_four(i: u32) -> vec4f { return ${fourGet(at, vectors)}; }`],
    [
      `${name}_setFour`,
      `fn ${name}_setFour(i: u32, four: vec4f, end: u32) { ${fourPut(set, vectors)} }`,
    ],
  ]
}

function scalarGet(at: At, dtype: DType): string {
  if (dtype === "f32") return at("i")
  if (dtype === "i32") return `f32(${at("i")})`
  if (dtype === "f16") return `unpack2x16float(${at("i >> 1u")})[i & 1u]`
  if (dtype === "u8") return `f32((${at("i >> 2u")} >> (8u * (i & 3u))) & 255u)`
  return `bitcast<f32>((${at("i >> 1u")} >> (16u * (i & 1u))) << 16u)`
}

function vectorGet(at: At, dtype: DType): string {
  if (dtype === "f32") return at("i")
  const [a, b] = [`${at("i")}.x`, `${at("i")}.y`]
  if (dtype === "f16") return `vec4f(unpack2x16float(${a}), unpack2x16float(${b}))`
  return `bitcast<vec4f>(vec4u(${a} << 16u, ${a} & ${high}, ${b} << 16u, ${b} & ${high}))`
}

/** Four numbers of f32 from element i on, a multiple of 4 where they are bound by fours. */
const fourGet = (at: At, vectors: boolean): string =>
  vectors ? at("i / 4u") : `vec4f(${[0, 1, 2, 3].map((c) => at(`i + ${c}u`)).join(", ")})`

/** Writes those of them that are below `end`. */
const fourPut = (set: Set, vectors: boolean): string =>
  vectors
    ? set("i / 4u", "four")
    : [0, 1, 2, 3]
        .map((c) => `if (i + ${c}u < end) { ${set(`i + ${c}u`, `four[${c}]`)} }`)
        .join(" ")

const high = "0xffff0000u"

/** Eight numbers. */
function wideGet(at: At, dtype: DType): string {
  if (dtype === "f32") return `mat2x4f(${at("2u * i")}, ${at("2u * i + 1u")})`
  return `${dtype === "f16" ? "eightHalves" : "eightBrains"}(${at("i")})`
}

function vectorPut(dtype: DType): string {
  if (dtype === "f32") return "v"
  const pack = dtype === "f16" ? "packHalves" : "packBrains"
  return `vec2u(${pack}(v.xy), ${pack}(v.zw))`
}

/** Writes elements 2i and 2i + 1, the second if it is below count. */
function pairPut(set: Set, dtype: DType): string {
  if (dtype === "f16") return set("i", "packHalves(v)")
  if (dtype === "bf16") return set("i", "packBrains(v)")
  const as = dtype === "i32" ? "i32" : "f32"
  const second = `if (2u * i + 1u < count) { ${set("2u * i + 1u", `${as}(v.y)`)} }`
  return `${set("2u * i", `${as}(v.x)`)} ${second}`
}
