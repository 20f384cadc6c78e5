// The tensors of an adapter on a backend, by their names, and how their numbers get there and back: rows in
// files, panels here, as the weights that they stand beside.
import {
  bufferOf,
  constant,
  normalAt,
  readTensors,
  runOnce,
  type Tensor,
  uniformAt,
} from "../../engine/index.ts"
import { pack, panelsOf, panelWidth, permute, take, unpack } from "../../ops/index.ts"
import type { Linear } from "../recorder.ts"
import type { Holder } from "../weights/holder.ts"
import type { AdapterConfig, Module } from "./options.ts"
import type { AdapterParts, Dora, LinearPart, SharePart, TablePart } from "./parts.ts"
import { ratioNow } from "./recorder.ts"
import { joined } from "./shares.ts"

/** One tensor: its name, its shape in files, and where it is kept. */
export interface AdapterTensor {
  readonly name: string
  readonly module: Module
  readonly role: "a" | "b" | "magnitude"
  /** Rows of numbers as files have them. */
  readonly shape: readonly number[]
  readonly tensor: Tensor
  /** Parts of its panels that alternate, and whether files have its columns as rows. */
  readonly halves: number
  readonly isTurned: boolean
  /** The row of its panels for each of a file's, where these are not in turn. */
  readonly order: readonly number[] | undefined
}

/** Where a module's scale is kept: `count` numbers from `at` on. */
export interface ScalePlace {
  readonly tensor: Tensor
  readonly at: number
  readonly count: number
}

/** What is allocated for modules, in their order. */
interface Allocated {
  readonly linears: Map<Tensor, LinearPart>
  readonly tables: Map<Tensor, TablePart>
  readonly tensors: AdapterTensor[]
  readonly scales: Map<Module, ScalePlace>
}

/** What modules have, in the order of PEFT's files: A, B and the magnitude of each. */
export function allocateAdapter(
  modules: readonly Module[],
  { kind }: Pick<AdapterConfig, "kind">,
  weights: ReadonlyMap<string, Tensor>,
  held: Holder,
): Omit<Allocated, "linears" | "tables"> & { readonly parts: AdapterParts } {
  const linears = new Map<Tensor, LinearPart>()
  const tables = new Map<Tensor, TablePart>()
  const found: Allocated = { linears, tables, tensors: [], scales: new Map() }
  for (const spec of new Set(modules.map((module) => module.spec))) {
    const all = modules.filter((module) => module.spec === spec)
    const weight = weights.get(spec.name) as Tensor
    if (all[0]?.isTable) tables.set(weight, allocateTable(all[0], found, held))
    else linears.set(weight, allocateLinear(all, weight, kind === "dora", found, held))
  }
  const { tensors, scales } = found
  return { parts: { linears, tables }, tensors, scales }
}

const allocatePanels = (held: Holder, rows: number, columns: number, halves = 1): Tensor =>
  held.allocate([panelsOf(rows, halves), columns, panelWidth])

const allocateMatrix = (held: Holder, rows: number, columns: number, halves = 1): Linear => ({
  weight: allocatePanels(held, rows, columns, halves),
  inputs: columns,
  outputs: rows,
})

/** A row for each token here, a column in files. */
function allocateTable(module: Module, { tensors, scales }: Allocated, held: Holder): TablePart {
  const [N, K] = module.spec.shape as [number, number]
  const [a, b] = [allocateMatrix(held, N, module.rank), allocateMatrix(held, K, module.rank)]
  const scale = held.allocate([1])
  tensors.push(...tensorsOf(module, { a, b, magnitude: undefined }, 1))
  scales.set(module, { tensor: scale, at: 0, count: 1 })
  return { a, b, scale }
}

/** The adapter of a matrix: of its one module, or joined of what its modules move. */
function allocateLinear(
  modules: readonly Module[],
  weight: Tensor,
  isDora: boolean,
  { tensors, scales }: Allocated,
  held: Holder,
): LinearPart {
  const [{ spec, rows }] = modules as [Module]
  const [N, K] = spec.shape as [number, number]
  const { halves } = spec
  const matrices = (rank: number, outputs: number, halves: number) => ({
    a: allocateMatrix(held, rank, K),
    b: allocateMatrix(held, outputs, rank, halves),
    magnitude: isDora ? allocatePanels(held, outputs, 1, halves) : undefined,
  })
  const isWhole = rows.length === N
  const R = modules.reduce((sum, { rank }) => sum + rank, 0)
  const all = matrices(R, N, halves)
  const scale = held.allocate([isWhole ? 1 : R])
  let at = 0
  const shares = modules.map((module): SharePart => {
    const { rank, rows } = module
    const own = isWhole ? all : matrices(rank, rows.length, 1)
    tensors.push(...tensorsOf(module, own, isWhole ? halves : 1))
    scales.set(module, { tensor: scale, at, count: isWhole ? 1 : rank })
    const share = { ...own, first: rows[0] as number, at }
    at += rank
    return share
  })
  const { a, b, magnitude } = all
  const dora = magnitude && { magnitude, ratio: allocatePanels(held, N, 1, halves) }
  const base = { weight, inputs: K, outputs: N }
  const own = { shares: isWhole ? [] : shares, halves, base, stream: spec.index }
  return { a, b, scale, dora, ...own }
}

/** What moves of a module, and how it lies in files. */
function tensorsOf(
  module: Module,
  { a, b, magnitude }: Pick<SharePart, "a" | "b" | "magnitude">,
  halves: number,
): AdapterTensor[] {
  const { name, spec, rank, isTable, rows } = module
  const [N, K] = [rows.length, spec.shape[1] as number]
  const names = fileNames[isTable ? "table" : "linear"]
  const usual = { module, halves: 1, isTurned: false, order: undefined }
  const isInTurn = rows.every((row, i) => row === (rows[0] as number) + i)
  const outputs = { halves, order: isInTurn ? undefined : rows }
  const listed: AdapterTensor[] = [
    {
      ...{ ...usual, name: `${name}.${names.a}`, role: "a", tensor: a.weight },
      ...(isTable ? { shape: [rank, N], isTurned: true } : { shape: [rank, K] }),
    },
    {
      ...{ ...usual, name: `${name}.${names.b}`, role: "b", tensor: b.weight },
      ...(isTable ? { shape: [K, rank] } : { shape: [N, rank], ...outputs }),
    },
  ]
  if (!magnitude) return listed
  const norms = {
    name: `${name}.${names.magnitude}`,
    role: "magnitude",
    tensor: magnitude,
  } as const
  return [...listed, { ...usual, ...norms, shape: [N], ...outputs }]
}

/** Names after a module's, as PEFT writes them. */
const fileNames = {
  linear: { a: "lora_A.weight", b: "lora_B.weight", magnitude: "lora_magnitude_vector" },
  table: { a: "lora_embedding_A", b: "lora_embedding_B", magnitude: "" },
} as const

/** Writes the numbers of one tensor, row by row as files have them. */
export async function writeNumbers(
  { tensor, shape, halves: Halves, isTurned, order }: AdapterTensor,
  values: Float32Array,
  { backend }: Pick<Holder, "backend">,
): Promise<void> {
  const [rows, columns = 1] = shape as [number, number]
  const given = constant(values, [rows, columns])
  const x = isTurned ? permute(given, [1, 0]) : order ? take(given, inverseOf(order)) : given
  const P = tensor.shape[0] as number
  await runOnce(backend, [[tensor, pack(x, { P, Halves, dtype: "f32" }).w]])
}

/** Panels like those of a tensor as the rows that files have. */
export function fileRows(
  { shape, halves: Halves, isTurned, order }: AdapterTensor,
  panels: Tensor,
): Tensor {
  const [rows, columns = 1] = shape as [number, number]
  const [N, K] = isTurned ? [columns, rows] : [rows, columns]
  const x = unpack(panels, { N, K, Halves, dtype: "f32" })
  if (order) return take(x, constant([...order], [order.length], "i32"))
  return isTurned ? permute(x, [1, 0]) : x
}

/** For each row of panels that of a file. */
function inverseOf(order: readonly number[]): Tensor {
  const inverse = new Int32Array(order.length)
  for (const [i, row] of order.entries()) inverse[row] = i
  return constant(inverse, [order.length], "i32")
}

/** The numbers of one tensor, row by row as files have them. */
export async function readNumbers(
  each: AdapterTensor,
  { backend }: Pick<Holder, "backend">,
): Promise<Float32Array> {
  const [values] = await readTensors([fileRows(each, each.tensor)], backend)
  return values as Float32Array
}

/** Writes a module's scale. */
export const writeScale = ({ tensor, at, count }: ScalePlace, value: number, held: Holder): void =>
  held.backend.write(bufferOf(tensor), new Float32Array(count).fill(value), 4 * at)

/** Norms of the rows of W + s·B·A.  → (N) */
async function normsOf(part: LinearPart, dora: Dora, { backend }: Holder): Promise<Float32Array> {
  const { shape, size } = dora.magnitude
  const one = constant(new Float32Array(size).fill(1), shape)
  const inverse = ratioNow({ ...joined(part), shares: [] }, { ...dora, magnitude: one })
  const { halves: Halves, base } = part
  const rows = unpack(inverse, { N: base.outputs, K: 1, Halves, dtype: "f32" })
  const [values] = await readTensors([rows], backend)
  return (values as Float32Array).map((x) => 1 / x)
}

/** What magnitudes begin as: the norms of the rows of W + s·B·A. `whole`: a weight by its name. */
export async function firstMagnitudes(
  { linears }: AdapterParts,
  listed: readonly AdapterTensor[],
  whole: (name: string) => Promise<Tensor>,
  held: Holder,
): Promise<Map<AdapterTensor, Float32Array>> {
  const found = new Map<AdapterTensor, Float32Array>()
  const norms = new Map<LinearPart, Float32Array>()
  for (const tensor of listed) {
    if (tensor.role !== "magnitude") continue
    const { spec, rows } = tensor.module
    const part = linears.get(await whole(spec.name))
    if (!part?.dora) continue
    const all = norms.get(part) ?? (await normsOf(part, part.dora, held))
    norms.set(part, all)
    found.set(
      tensor,
      Float32Array.from(rows, (row) => all[row] as number),
    )
  }
  return found
}

/** What training begins with, as PEFT has it: of a linear layer A uniform within ±1/√K and B zeros, of a
 *  table A zeros and B normal. Seeded by the module's place, the same on every backend. */
export function firstNumbers({ module, role, shape }: AdapterTensor, seed: number): Float32Array {
  const [rows, columns = 1] = shape as [number, number]
  const values = new Float32Array(rows * columns)
  const isDrawn = module.isTable ? role === "b" : role === "a"
  if (!isDrawn) return values
  const bound = columns ** -0.5
  const stream = 0x10000 + module.spec.index + 0x10000 * (module.rows[0] as number)
  for (let i = 0; i < values.length; i++) {
    const [n, k] = [Math.floor(i / columns), i % columns]
    values[i] = module.isTable
      ? normalAt(seed, stream, n, k)
      : bound * (2 * uniformAt(seed, stream, n, k) - 1)
  }
  return values
}
