// Parts of an ONNX file (onnx.proto): nodes, initializers, inputs and outputs. Large tensors lie in a file
// beside it.
import { type Field, message } from "./protobuf.ts"

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

const attribute = ([name, value]: [string, Attribute]): Uint8Array =>
  message(
    typeof value === "number"
      ? [
          [1, name],
          [3, value],
          [20, wholeAttribute],
        ]
      : [
          [1, name],
          [2, value],
          [20, floatAttribute],
        ],
  )

const node = ({ op, isMicrosoft, inputs, outputs, attributes = {} }: Node, i: number): Uint8Array =>
  message([
    [1, inputs],
    [2, outputs],
    [3, `${op}_${i}`],
    [4, op],
    [5, Object.entries(attributes).map(attribute)],
    ...(isMicrosoft ? [[7, microsoft] as Field] : []),
  ])

const external = ({ name, type, shape, offset, bytes }: External, file: string): Uint8Array => {
  const entry = (key: string, value: string) =>
    message([
      [1, key],
      [2, value],
    ])
  const places = [
    entry("location", file),
    entry("offset", String(offset)),
    entry("length", String(bytes)),
  ]
  // 14: the data's place, 1 for outside.
  return message([
    [1, shape],
    [2, types[type]],
    [8, name],
    [13, places],
    [14, 1],
  ])
}

const whole = ({ name, values }: Whole): Uint8Array => {
  const data = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer)
  return message([
    [1, [values.length]],
    [2, types.i64],
    [8, name],
    [9, data],
  ])
}

const port = ({ name, type, shape }: Port): Uint8Array => {
  const dims = shape.map((size) => message([typeof size === "number" ? [1, size] : [2, size]]))
  const tensor = message([
    [1, types[type]],
    [2, message([[1, dims]])],
  ])
  return message([
    [1, name],
    [2, message([[1, tensor]])],
  ])
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
  { name, nodes, externals, wholes, inputs, outputs }: Graph,
  file: string,
) {
  const graph = message([
    [1, nodes.map(node)],
    [2, name],
    [5, [...externals.map((each) => external(each, file)), ...wholes.map(whole)]],
    [11, inputs.map(port)],
    [12, outputs.map(port)],
  ])
  const opsets = [
    message([
      [1, ""],
      [2, 17],
    ]),
    message([
      [1, microsoft],
      [2, 1],
    ]),
  ]
  // The version of the format: 8 came with opset 17.
  return message([
    [1, 8],
    [2, "openelm"],
    [7, graph],
    [8, opsets],
  ])
}
