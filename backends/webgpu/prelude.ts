// What stands in front of a kernel's text: its bindings and parameters by name, and how numbers of
// 16 bits are read and written. Kernels compute in f32; f16, bf16 and u8 are bound as 32-bit words.
import { type DType, isOwn, isWord, type Op } from "../../engine/index.ts"
import type { Kernel } from "./kernels.js"

/** How a step uses one of its tensors. */
export interface Argument {
  readonly name: string
  readonly dtype: DType
  /** Whether the shader may write it: then no other argument may lie in the same memory. */
  readonly writable: boolean
  /** The argument whose binding it shares, because it is the same tensor. */
  readonly same?: string
}

export interface Shape {
  readonly name: string
  /** Elements are bound four at a time: panels, whose last axis is a multiple of 16. */
  readonly vectors: boolean
}

/** Names of WGSL's reserved words that parameters have. */
const reserved: Readonly<Record<string, string>> = { std: "deviation" }

/** The tensors that an op's kernel binds: inputs, then outputs with memory of their own. */
export function slotsOf(op: Op, scalars: readonly string[] = []): Shape[] {
  const outputs = op.outputs.filter((name) => isOwn(op, name))
  return [...op.inputs, ...outputs].map((name) => {
    const dims = new RegExp(`(?:^| )${name}:[\\w|]*\\((.*?)\\)(?: |$)`).exec(op.text)?.[1] ?? ""
    const panels = op.signature !== undefined && /(^|,)(16|32\*P)$/.test(dims)
    return { name, vectors: panels && !scalars.includes(name) }
  })
}

/** Parameters that the kernel gets from memory; the dtypes are part of the shader. */
export const fieldsOf = (op: Op): string[] => op.params.filter((name) => !name.endsWith("Type"))

/** The text in front of a kernel's code for these arguments. */
export function preludeOf(
  op: Op,
  args: readonly Argument[],
  { code, scalars }: Kernel,
  subgroups: boolean,
): string {
  const slots = slotsOf(op, scalars)
  const fields = fieldsOf(op).map(
    (name) => `  ${reserved[name] ?? name}: ${isWord(name) ? "u32" : "f32"},`,
  )
  let binding = 0
  const lines = args.flatMap((arg, i) => {
    const slot = slots[i] as Shape
    const text = arg.same === undefined ? [declare(arg, slot, binding++)] : []
    const used = access(arg, slot).filter(([name]) => code.includes(name))
    return [...text, ...used.map(([, line]) => line)]
  })
  return [
    ...(subgroups ? ["enable subgroups;"] : []),
    "struct Parameters {",
    ...fields,
    "  Groups: u32,",
    "}",
    `@group(0) @binding(${binding}) var<uniform> param: Parameters;`,
    ...lines,
    "",
  ].join("\n")
}

/** The type that a tensor's elements, or fours of them, are bound as. */
export function elementOf(dtype: DType, vectors: boolean): string {
  if (dtype === "f32") return vectors ? "vec4f" : "f32"
  if (dtype === "i32") return vectors ? "vec4i" : "i32"
  return vectors && dtype !== "u8" ? "vec2u" : "u32"
}

function declare({ name, dtype, writable }: Argument, { vectors }: Shape, binding: number): string {
  const mode = writable ? "read_write" : "read"
  const type = elementOf(dtype, vectors)
  return `@group(0) @binding(${binding}) var<storage, ${mode}> ${name}: array<${type}>;`
}

const codes: Record<DType, number> = { f32: 0, f16: 1, bf16: 2, i32: 3, u8: 4 }

/** Reading and writing numbers of any dtype as f32, by name: one at a time, or vectors by fours. */
function access(arg: Argument, { vectors }: Shape): [name: string, text: string][] {
  const { name, dtype, same = name } = arg
  const number = vectors ? "vec4f" : "f32"
  const value = vectors ? vectorGet(same, dtype) : scalarGet(same, dtype)
  const put = vectors
    ? `fn ${name}_put(i: u32, v: vec4f) { ${same}[i] = ${vectorPut(dtype)}; }`
    : `fn ${name}_put(i: u32, v: vec2f, count: u32) { ${pairPut(same, dtype)} }`
  return [
    [`${name}Type`, `const ${name}Type = ${codes[dtype]}u;`],
    [`${name}_get`, `fn ${name}_get(i: u32) -> ${number} { return ${value}; }`],
    [`${name}_put`, put],
  ]
}

function scalarGet(name: string, dtype: DType): string {
  if (dtype === "f32") return `${name}[i]`
  if (dtype === "f16") return `unpack2x16float(${name}[i >> 1u])[i & 1u]`
  if (dtype === "bf16") return `bitcast<f32>((${name}[i >> 1u] >> (16u * (i & 1u))) << 16u)`
  return dtype === "i32" ? `f32(${name}[i])` : `f32((${name}[i >> 2u] >> (8u * (i & 3u))) & 255u)`
}

function vectorGet(name: string, dtype: DType): string {
  if (dtype === "f32") return `${name}[i]`
  const [a, b] = [`${name}[i].x`, `${name}[i].y`]
  if (dtype === "f16") return `vec4f(unpack2x16float(${a}), unpack2x16float(${b}))`
  return `bitcast<vec4f>(vec4u(${a} << 16u, ${a} & ${high}, ${b} << 16u, ${b} & ${high}))`
}

const high = "0xffff0000u"

function vectorPut(dtype: DType): string {
  if (dtype === "f32") return "v"
  const pack = dtype === "f16" ? "packHalves" : "packBrains"
  return `vec2u(${pack}(v.xy), ${pack}(v.zw))`
}

/** Writes elements 2i and 2i + 1, the second if it is below count. */
function pairPut(name: string, dtype: DType): string {
  if (dtype === "f16") return `${name}[i] = packHalves(v);`
  if (dtype === "bf16") return `${name}[i] = packBrains(v);`
  const as = dtype === "i32" ? "i32" : "f32"
  const second = `if (2u * i + 1u < count) { ${name}[2u * i + 1u] = ${as}(v.y); }`
  return `${name}[2u * i] = ${as}(v.x); ${second}`
}
