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
import { pack, panelsOf, panelWidth, permute, unpack } from "../../ops/index.ts"
import type { Linear } from "../recorder.ts"
import type { Holder } from "../weights/holder.ts"
import type { AdapterConfig, Module } from "./options.ts"
import type { AdapterParts, Dora, LinearPart, TablePart } from "./parts.ts"

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
}

/** What modules have, in the order of PEFT's files: A, B and the magnitude of each. */
export function allocateAdapter(
  modules: readonly Module[],
  { kind }: Pick<AdapterConfig, "kind">,
  weights: ReadonlyMap<string, Tensor>,
  held: Holder,
): { parts: AdapterParts; tensors: AdapterTensor[]; scales: Map<Module, Tensor> } {
  const linears = new Map<Tensor, LinearPart>()
  const tables = new Map<Tensor, TablePart>()
  const tensors: AdapterTensor[] = []
  const scales = new Map<Module, Tensor>()
  for (const module of modules) {
    const { name, spec, rank, isTable } = module
    const [N, K] = spec.shape as [number, number]
    const panels = (rows: number, columns: number, halves = 1): Tensor =>
      held.allocate([panelsOf(rows, halves), columns, panelWidth])
    const linear = (rows: number, columns: number, halves = 1): Linear => {
      const weight = panels(rows, columns, halves)
      return { weight, inputs: columns, outputs: rows }
    }
    const add = (
      role: AdapterTensor["role"],
      tensor: Tensor,
      shape: number[],
      rest: Partial<AdapterTensor> = {},
    ) => {
      const part = `${name}.${fileNames[isTable ? "table" : "linear"][role]}`
      tensors.push({ name: part, module, role, shape, tensor, halves: 1, isTurned: false, ...rest })
    }
    const scale = held.allocate([1])
    scales.set(module, scale)
    const weight = weights.get(spec.name) as Tensor
    if (isTable) {
      // A row for each token here, a column in files.
      const [a, b] = [linear(N, rank), linear(K, rank)]
      add("a", a.weight, [rank, N], { isTurned: true })
      add("b", b.weight, [K, rank])
      tables.set(weight, { a, b, scale })
      continue
    }
    const { halves } = spec
    const [a, b] = [linear(rank, K), linear(N, rank, halves)]
    add("a", a.weight, [rank, K])
    add("b", b.weight, [N, rank], { halves })
    let dora: Dora | undefined
    if (kind === "dora") {
      const magnitude = panels(N, 1, halves)
      dora = { magnitude, ratio: panels(N, 1, halves) }
      add("magnitude", magnitude, [N], { halves })
    }
    const base = { weight, inputs: K, outputs: N }
    linears.set(weight, { a, b, scale, dora, halves, base, stream: spec.index })
  }
  return { parts: { linears, tables }, tensors, scales }
}

/** Names after a module's, as PEFT writes them. */
const fileNames = {
  linear: { a: "lora_A.weight", b: "lora_B.weight", magnitude: "lora_magnitude_vector" },
  table: { a: "lora_embedding_A", b: "lora_embedding_B", magnitude: "" },
} as const

/** Writes the numbers of one tensor, row by row as files have them. */
export async function writeNumbers(
  { tensor, shape, halves: Halves, isTurned }: AdapterTensor,
  values: Float32Array,
  { backend }: Pick<Holder, "backend">,
): Promise<void> {
  const [rows, columns = 1] = shape as [number, number]
  const given = constant(values, [rows, columns])
  const x = isTurned ? permute(given, [1, 0]) : given
  const P = tensor.shape[0] as number
  await runOnce(backend, [[tensor, pack(x, { P, Halves, dtype: "f32" }).w]])
}

/** Panels like those of a tensor as the rows that files have. */
export function fileRows(
  { shape, halves: Halves, isTurned }: AdapterTensor,
  panels: Tensor,
): Tensor {
  const [rows, columns = 1] = shape as [number, number]
  const [N, K] = isTurned ? [columns, rows] : [rows, columns]
  const x = unpack(panels, { N, K, Halves, dtype: "f32" })
  return isTurned ? permute(x, [1, 0]) : x
}

/** The numbers of one tensor, row by row as files have them. */
export async function readNumbers(each: AdapterTensor, held: Holder): Promise<Float32Array> {
  const [values] = await readTensors([fileRows(each, each.tensor)], held.backend)
  return values as Float32Array
}

/** Writes one number. */
export const writeScale = (scale: Tensor, value: number, held: Holder): void =>
  held.backend.write(bufferOf(scale), Float32Array.of(value))

/** What training begins with, as PEFT has it: of a linear layer A uniform within ±1/√K and B zeros, of a
 *  table A zeros and B normal. Seeded by the module's place, the same on every backend. */
export function firstNumbers({ module, role, shape }: AdapterTensor, seed: number): Float32Array {
  const [rows, columns = 1] = shape as [number, number]
  const values = new Float32Array(rows * columns)
  const isDrawn = module.isTable ? role === "b" : role === "a"
  if (!isDrawn) return values
  const bound = columns ** -0.5
  const stream = 0x10000 + module.spec.index
  for (let i = 0; i < values.length; i++) {
    const [n, k] = [Math.floor(i / columns), i % columns]
    values[i] = module.isTable
      ? normalAt(seed, stream, n, k)
      : bound * (2 * uniformAt(seed, stream, n, k) - 1)
  }
  return values
}
