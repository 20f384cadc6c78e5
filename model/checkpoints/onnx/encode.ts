// Parts of an ONNX file (onnx.proto): nodes, initializers, inputs and outputs. Large tensors lie in a file
// beside it.
import { bytesField, floatField, joined, varintField } from "../../protobuf.ts"

/** TensorProto.DataType. */
const types = { f32: 1, u8: 2, i32: 6, i64: 7 } as const
export type TensorType = keyof typeof types

type Attribute = number | { readonly f32: number }

export interface Node {
  readonly op: string
  /** Microsoft's operators, which onnxruntime has beside ONNX's. */
  readonly isMicrosoft?: boolean
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

/** A tensor whose bytes lie in the file beside, from `offset` on. */
export interface External {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly number[]
  readonly offset: number
  readonly bytes: number
}

/** A list of whole numbers, within the file itself. */
export interface Whole {
  readonly name: string
  readonly values: readonly number[]
}

/** An input or output: a text for a size that is known when it runs. */
export interface Port {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly (number | string)[]
}

const microsoft = "com.microsoft"
const [floatAttribute, wholeAttribute] = [1, 2] as const

const texts = (number: number, values: readonly string[]): Uint8Array[] =>
  values.map((value) => bytesField(number, value))
const wholes = (number: number, values: readonly number[]): Uint8Array[] =>
  values.map((value) => varintField(number, value))

const attribute = ([name, value]: [string, Attribute]): Uint8Array[] =>
  typeof value === "number"
    ? [bytesField(1, name), varintField(3, value), varintField(20, wholeAttribute)]
    : [bytesField(1, name), floatField(2, value.f32), varintField(20, floatAttribute)]

const node = ({ op, isMicrosoft, inputs, outputs, attributes = {} }: Node, i: number) => [
  ...texts(1, inputs),
  ...texts(2, outputs),
  ...texts(3, [`${op}_${i}`]),
  ...texts(4, [op]),
  ...Object.entries(attributes).map((each) => bytesField(5, attribute(each))),
  ...texts(7, isMicrosoft ? [microsoft] : []),
]

function external({ name, type, shape, offset, bytes }: External, file: string): Uint8Array[] {
  const place = { location: file, offset: String(offset), length: String(bytes) }
  const entries = Object.entries(place).map((entry) =>
    bytesField(
      13,
      entry.map((text, i) => bytesField(i + 1, text)),
    ),
  )
  // 14: the data's place, 1 for outside.
  const data = [bytesField(8, name), ...entries, varintField(14, 1)]
  return [...wholes(1, shape), varintField(2, types[type]), ...data]
}

function list({ name, values }: Whole): Uint8Array[] {
  const data = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer)
  const named = [bytesField(8, name), bytesField(9, data)]
  return [varintField(1, values.length), varintField(2, types.i64), ...named]
}

function port({ name, type, shape }: Port): Uint8Array[] {
  const dims = shape.map((size) =>
    bytesField(1, [typeof size === "number" ? varintField(1, size) : bytesField(2, size)]),
  )
  const tensor = [varintField(1, types[type]), bytesField(2, dims)]
  return [bytesField(1, name), bytesField(2, [bytesField(1, tensor)])]
}

interface Graph {
  readonly name: string
  readonly nodes: readonly Node[]
  readonly externals: readonly External[]
  readonly wholes: readonly Whole[]
  readonly inputs: readonly Port[]
  readonly outputs: readonly Port[]
}

/** The bytes of a model whose large tensors are in `file`. */
export function modelBytes(
  { name, nodes, externals, wholes: lists, inputs, outputs }: Graph,
  file: string,
) {
  const graph = [
    ...nodes.map((each, i) => bytesField(1, node(each, i))),
    bytesField(2, name),
    ...externals.map((each) => bytesField(5, external(each, file))),
    ...lists.map((each) => bytesField(5, list(each))),
    ...inputs.map((each) => bytesField(11, port(each))),
    ...outputs.map((each) => bytesField(12, port(each))),
  ]
  const opset = (domain: string, version: number) =>
    bytesField(8, [bytesField(1, domain), varintField(2, version)])
  // The version of the format: 8 came with opset 17.
  const head = [varintField(1, 8), bytesField(2, "openelm")]
  return joined([...head, bytesField(7, graph), opset("", 17), opset(microsoft, 1)])
}
