// ONNX for the tests: reads a file, and runs the operators that are written, in plain loops over float64.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fields } from "../model/protobuf.ts"

type Value = Uint8Array | number

/** Fields of a message by their numbers, in order. */
function fieldsOf(bytes: Uint8Array): Map<number, Value[]> {
  const found = new Map<number, Value[]>()
  for (const { number, value } of fields(bytes, "the file")) {
    found.set(number, [...(found.get(number) ?? []), value])
  }
  return found
}

/** An attribute: a whole number, or four bytes of an f32. */
function attributeOf(value: Value | undefined): number {
  if (typeof value === "number") return value
  const { buffer, byteOffset } = value as Uint8Array
  return new DataView(buffer, byteOffset).getFloat32(0, true)
}

const texts = (values: Value[] = []): string[] =>
  values.map((value) => new TextDecoder().decode(value as Uint8Array))
const text = (values?: Value[]): string => texts(values)[0] ?? ""

interface Matrix {
  readonly shape: readonly number[]
  readonly data: ArrayLike<number> & { readonly length: number }
}

interface Node {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, number>
}

export interface Graph {
  readonly nodes: readonly Node[]
  readonly constants: ReadonlyMap<string, Matrix>
  readonly inputs: readonly string[]
}

const views = {
  1: Float32Array,
  2: Uint8Array,
  7: BigInt64Array,
} as const

export function readOnnx(bytes: Uint8Array, folder: string): Graph {
  const graph = fieldsOf(fieldsOf(bytes).get(7)?.[0] as Uint8Array)
  const nodes = (graph.get(1) ?? []).map((each): Node => {
    const node = fieldsOf(each as Uint8Array)
    const attributes = (node.get(5) ?? []).map((each) => {
      const fields = fieldsOf(each as Uint8Array)
      return [text(fields.get(1)), attributeOf((fields.get(3) ?? fields.get(2))?.[0])] as const
    })
    const [inputs, outputs] = [texts(node.get(1)), texts(node.get(2))]
    return { op: text(node.get(4)), inputs, outputs, attributes: new Map(attributes) }
  })
  const constants = (graph.get(5) ?? []).map((each) => tensorOf(each as Uint8Array, folder))
  const inputs = (graph.get(11) ?? []).map((each) => text(fieldsOf(each as Uint8Array).get(1)))
  return { nodes, constants: new Map(constants), inputs }
}

function tensorOf(bytes: Uint8Array, folder: string): [string, Matrix] {
  const fields = fieldsOf(bytes)
  const shape = (fields.get(1) ?? []).map(Number)
  const places = (fields.get(13) ?? []).map((each) => {
    const entry = fieldsOf(each as Uint8Array)
    return [text(entry.get(1)), text(entry.get(2))] as const
  })
  const place = new Map(places)
  const raw = (): Uint8Array => {
    const inside = fields.get(9)?.[0]
    if (inside) return inside as Uint8Array
    const from = Number(place.get("offset"))
    const file = readFileSync(join(folder, place.get("location") as string))
    return file.subarray(from, from + Number(place.get("length")))
  }
  const View = views[Number(fields.get(2)?.[0]) as keyof typeof views]
  const values = new View(Uint8Array.from(raw()).buffer)
  return [text(fields.get(8)), { shape, data: Float64Array.from(values, Number) }]
}

/** Runs the graph over ids that follow what is in the caches of an earlier run: all values by name. */
export function run(
  { nodes, constants, inputs }: Graph,
  ids: readonly number[],
  before: ReadonlyMap<string, Matrix>,
): Map<string, Matrix> {
  const values = new Map(constants)
  const past = before.get("present.0.key")?.shape[2] ?? 0
  const total = past + ids.length
  values.set("input_ids", { shape: [ids.length], data: ids })
  values.set("last", { shape: [1], data: [total - 1] })
  values.set("total", { shape: [1], data: [total] })
  for (const name of inputs.filter((each) => each.startsWith("past."))) {
    const empty = { shape: [1, 0, 0, 0], data: [] }
    values.set(name, before.get(name.replace("past", "present")) ?? empty)
  }
  for (const { op, inputs, outputs, attributes } of nodes) {
    const operands = inputs.map((name) => values.get(name) as Matrix)
    const results = (operators[op] as Operator)(operands, attributes)
    outputs.forEach((name, i) => {
      if (name) values.set(name, results[i] as Matrix)
    })
  }
  return values
}

type Operator = (
  inputs: readonly Matrix[],
  attributes: ReadonlyMap<string, number>,
) => (Matrix | undefined)[]

const make = (shape: readonly number[], at: (i: number) => number): Matrix => ({
  shape,
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => at(i)),
})
const get = ({ data }: Matrix, i: number): number => data[i] as number
const last = ({ shape }: Matrix): number => shape.at(-1) as number

const normalized = (x: Matrix, w: Matrix, eps: number): Matrix => {
  const D = last(x)
  const scales = Array.from({ length: x.data.length / D }, (_, r) => {
    let sum = 0
    for (let d = 0; d < D; d++) sum += get(x, r * D + d) ** 2
    return 1 / Math.sqrt(sum / D + eps)
  })
  return make(x.shape, (i) => get(x, i) * (scales[Math.floor(i / D)] as number) * get(w, i % D))
}

/** x·Wᵀ */
const product = (x: Matrix, N: number, weight: (n: number, k: number) => number): Matrix => {
  const K = last(x)
  return make([x.data.length / K, N], (i) => {
    const [r, n] = [Math.floor(i / N), i % N]
    let sum = 0
    for (let k = 0; k < K; k++) sum += get(x, r * K + k) * weight(n, k)
    return sum
  })
}

const operators: Readonly<Record<string, Operator>> = {
  Gather: ([table, at]) => {
    const [rows = 0, D = 0] = table?.shape ?? []
    const row = (i: number) => (get(at as Matrix, i) + rows) % rows
    return [
      make([(at as Matrix).data.length, D], (i) =>
        get(table as Matrix, row(Math.floor(i / D)) * D + (i % D)),
      ),
    ]
  },
  SimplifiedLayerNormalization: ([x, w], a) => [
    normalized(x as Matrix, w as Matrix, a.get("epsilon") as number),
  ],
  SkipSimplifiedLayerNormalization: ([x, y, w], a) => {
    const sum = make((x as Matrix).shape, (i) => get(x as Matrix, i) + get(y as Matrix, i))
    return [normalized(sum, w as Matrix, a.get("epsilon") as number), undefined, undefined, sum]
  },
  Gemm: ([x, w]) => {
    const K = last(w as Matrix)
    return [
      product(x as Matrix, (w as Matrix).shape[0] as number, (n, k) => get(w as Matrix, n * K + k)),
    ]
  },
  MatMulNBits: ([x, w, scales], a) => {
    const [N, K, bits] = ["N", "K", "bits"].map((name) => a.get(name) as number) as [
      number,
      number,
      number,
    ]
    const blocks = Math.ceil(K / 32)
    const weight = (n: number, k: number): number => {
      const i = n * blocks * 32 + k
      const byte = get(w as Matrix, bits === 8 ? i : i >> 1)
      const q = bits === 8 ? byte - 128 : ((byte >> (4 * (i & 1))) & 15) - 8
      return q * get(scales as Matrix, i >> 5)
    }
    return [product(x as Matrix, N, weight)]
  },
  Split: ([x, sizes]) => {
    const D = last(x as Matrix)
    let from = 0
    return [...((sizes as Matrix).data as Float64Array)].map((size) => {
      const start = from
      from += size
      const rows = (x as Matrix).data.length / D
      return make([rows, size], (i) =>
        get(x as Matrix, Math.floor(i / size) * D + start + (i % size)),
      )
    })
  },
  Reshape: ([x, to]) => {
    const wanted = [...((to as Matrix).data as Float64Array)]
    const known = wanted.reduce((all, size) => (size < 0 ? all : all * size), 1)
    const shape = wanted.map((size) => (size < 0 ? (x as Matrix).data.length / known : size))
    return [{ shape, data: (x as Matrix).data }]
  },
  Mul: ([x, y]) => [make((x as Matrix).shape, (i) => get(x as Matrix, i) * get(y as Matrix, i))],
  QuickGelu: ([x], a) => [
    make((x as Matrix).shape, (i) => {
      const v = get(x as Matrix, i)
      return v / (1 + Math.exp(-(a.get("alpha") as number) * v))
    }),
  ],
  Identity: ([x]) => [x],
  GroupQueryAttention: attention,
}

/** Inputs as onnxruntime has them: q (1, T, H·E), k, v (1, T, G·E), caches (1, G, P, E), positions' angles. */
function attention(inputs: readonly Matrix[], a: ReadonlyMap<string, number>): Matrix[] {
  const [q, k, v, pastKeys, pastValues, lastAt, , cosines, sines] = inputs as Matrix[] as [
    ...[Matrix, Matrix, Matrix, Matrix, Matrix, Matrix, Matrix, Matrix, Matrix],
  ]
  const [H, G] = [a.get("num_heads") as number, a.get("kv_num_heads") as number]
  const T = q.shape[1] as number
  const E = last(q) / H
  const S = get(lastAt, 0) + 1
  const P = S - T
  const rotated = (x: Matrix, heads: number, t: number, h: number, e: number): number => {
    const at = (e: number) => get(x, (t * heads + h) * E + e)
    const half = E / 2
    const angle = (P + t) * half + (e % half)
    const [c, s] = [get(cosines, angle), get(sines, angle)]
    return e < half ? at(e) * c - at(e + half) * s : at(e) * c + at(e - half) * s
  }
  const cached = (past: Matrix, now: (t: number, g: number, e: number) => number): Matrix =>
    make([1, G, S, E], (i) => {
      const [g, s, e] = [Math.floor(i / (S * E)), Math.floor(i / E) % S, i % E]
      return s < P ? get(past, (g * P + s) * E + e) : now(s - P, g, e)
    })
  const keys = cached(pastKeys, (t, g, e) => rotated(k, G, t, g, e))
  const values = cached(pastValues, (t, g, e) => get(v, (t * G + g) * E + e))
  const output = new Float64Array(T * H * E)
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / G))
      const weights = Array.from({ length: P + t + 1 }, (_, s) => {
        let score = 0
        for (let e = 0; e < E; e++) score += rotated(q, H, t, h, e) * get(keys, (g * S + s) * E + e)
        return Math.exp(score / Math.sqrt(E))
      })
      const sum = weights.reduce((a, b) => a + b, 0)
      for (const [s, weight] of weights.entries()) {
        for (let e = 0; e < E; e++) {
          const i = (t * H + h) * E + e
          output[i] = (output[i] as number) + (weight / sum) * get(values, (g * S + s) * E + e)
        }
      }
    }
  }
  return [{ shape: [1, T, H * E], data: output }, keys, values]
}
