// Adapters of one model side by side, for plans in which sequences go through several of them (routes.ts): their
// numbers in memory of their own, written again where they have changed.
import {
  bufferOf,
  constant,
  runOnce,
  type Shape,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import {
  add,
  mul,
  packedPanels,
  panelsOf,
  panelWidth,
  permute,
  reshape,
  spreadInto,
  unpanel,
} from "../../ops/index.ts"
import { Pool, type Seat } from "../generate/pool.ts"
import type { Source } from "../generate/source.ts"
import type { Linear } from "../recorder.ts"
import { Usage } from "../usage.ts"
import { Holder } from "../weights/holder.ts"
import { PreparedResidence } from "../weights/restore.ts"
import type { LinearPart, TablePart } from "./parts.ts"
import { type RouteLinear, type RoutePart, type RouteParts, routed } from "./routes.ts"

/** Memory for several adapters of one model, one of them perhaps none: the weights as they are. */
export class AdapterStack {
  /** What sequences go through whose routes are the places of `sources`. */
  readonly source: Source
  readonly #held: Holder
  readonly #sources: readonly Source[]
  /** What is made of the adapters beside each weight, as they are then. */
  readonly #stacked: (() => Update[])[] = []
  /** Rows of 1 and 0 by the ranks that they are of. */
  readonly #own = new Map<string, { readonly tensor: Tensor; readonly values: Float32Array }>()
  /** Changes of each, and lost devices, when they were written. */
  #written = ""
  #writing: Promise<void> | undefined

  constructor(sources: readonly Source[]) {
    const base = baseOf(sources[0] as Source)
    const { decoder, backend } = base
    this.#sources = sources
    this.#held = new Holder(backend)
    try {
      const parts = this.#allocate()
      const routes = sources.map((source) => source.decoder)
      const recorderOf: typeof decoder.recorderOf = (inputs) =>
        routed(decoder.recorderOf(inputs), parts, inputs.routes as Tensor)
      const usage = new Usage("these adapters are closed", ...sources.map(({ usage }) => usage))
      const residence = new PreparedResidence(base.residence, () => this.#write())
      const together = { ...decoder, recorderOf, routes }
      this.source = { ...base, decoder: together, usage, residence, pool: new Pool() }
    } catch (error) {
      this.#held.free()
      throw error
    }
  }

  /** Memory of the adapters' numbers; what is decoded with them has its own. */
  get bytes(): number {
    return this.#held.bytes
  }

  stop(): void {
    this.source.pool.stop()
  }

  close(): void {
    this.source.pool.close()
    this.#held.free()
  }

  #allocate(): RouteParts {
    const all = this.#sources.map(({ decoder }) => decoder.adapter)
    const linears = new Map<Tensor, RouteLinear>()
    for (const weight of new Set(all.flatMap((parts) => [...(parts?.linears.keys() ?? [])]))) {
      linears.set(weight, this.#linear(all.map((parts) => parts?.linears.get(weight))))
    }
    const tables = new Map<Tensor, RoutePart>()
    for (const weight of new Set(all.flatMap((parts) => [...(parts?.tables.keys() ?? [])]))) {
      tables.set(weight, this.#table(all.map((parts) => parts?.tables.get(weight))))
    }
    return { linears, tables }
  }

  #linear(parts: readonly (LinearPart | undefined)[]): RouteLinear {
    const { base, b: one } = parts.find((part) => part) as LinearPart
    const [K, N] = [base.inputs, (one.weight.shape[0] as number) * panelWidth]
    const ranks = parts.map((part) => part?.a.outputs ?? 0)
    const R = ranks.reduce((x, y) => x + y)
    const [a, b] = [this.#matrix(R, K), this.#matrix(N, R)]
    const hasRatios = parts.some((part) => part?.dora)
    const ratios = hasRatios ? this.#held.allocate([parts.length, N]) : undefined
    this.#stacked.push(() => [
      [a.weight, stacked(parts, ranks, aboveOf(K))],
      [
        b.weight,
        stacked(
          parts,
          ranks,
          besideOf(N, (part) => unpanel(part.b.weight, N)),
        ),
      ],
      ...(ratios ? [[ratios, ratiosOf(parts, N)] as Update] : []),
    ])
    return { a, b, own: this.#ownOf(ranks), ratios }
  }

  #table(parts: readonly (TablePart | undefined)[]): RoutePart {
    const { a: rows, b: columns } = parts.find((part) => part) as TablePart
    const [V, D] = [rows.outputs, columns.outputs]
    const ranks = parts.map((part) => part?.a.inputs ?? 0)
    const R = ranks.reduce((x, y) => x + y)
    const [a, b] = [this.#matrix(V, R), this.#matrix(D, R)]
    const scaled = ({ a, scale }: TablePart) => mul(unpanel(a.weight, V), scale)
    this.#stacked.push(() => [
      [a.weight, stacked(parts, ranks, besideOf(V, scaled))],
      [
        b.weight,
        stacked(
          parts,
          ranks,
          besideOf(D, (part) => unpanel(part.b.weight, D)),
        ),
      ],
    ])
    return { a, b, own: this.#ownOf(ranks) }
  }

  #matrix(outputs: number, inputs: number): Linear {
    const weight = this.#held.allocate([panelsOf(outputs), inputs, panelWidth])
    return { weight, inputs, outputs }
  }

  #ownOf(ranks: readonly number[]): Tensor {
    const known = this.#own.get(ranks.join())
    if (known) return known.tensor
    const R = ranks.reduce((x, y) => x + y)
    const values = new Float32Array(ranks.length * R)
    let at = 0
    for (const [route, rank] of ranks.entries()) {
      values.fill(1, route * R + at, route * R + at + rank)
      at += rank
    }
    const tensor = this.#held.allocate([ranks.length, R])
    this.#own.set(ranks.join(), { tensor, values })
    return tensor
  }

  /** What has to be there before a plan runs: the numbers of each adapter as they are now. */
  async #write(): Promise<void> {
    await this.#writing
    for (const { residence } of this.#sources) await residence.restored()
    const changes = this.#sources.map(({ beside }) => beside?.changes() ?? 0)
    const now = [this.source.residence.lost, ...changes].join()
    if (now === this.#written) return
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    await this.#writing
    this.#written = now
  }

  async #writeAll(): Promise<void> {
    const { backend } = this.#held
    for (const { tensor, values } of this.#own.values()) backend.write(bufferOf(tensor), values)
    for (const updates of this.#stacked) await runOnce(backend, updates())
  }
}

/** The source of the weights alone. */
export const baseOf = (source: Source): Source => source.beside?.base ?? source

const numbers = new WeakMap<Source, number>()
let counted = 0

function numberOf(source: Source): number {
  const number = numbers.get(source) ?? counted++
  numbers.set(source, number)
  return number
}

/** Sources as they lie in a stack: each once, in an order of theirs. */
export const stackOrder = (sources: readonly Source[]): Source[] =>
  [...new Set(sources)].sort((a, b) => numberOf(a) - numberOf(b))

/** Their stack, until the seat is left. */
export const stackIn = (seat: Seat, sources: readonly Source[]): AdapterStack =>
  seat.take(`adapters ${sources.map(numberOf).join(" ")}`, () => new AdapterStack(sources))

type Put<P> = (part: P, rank: number, at: number, R: number) => Tensor

/** The sum of what each part puts in its own place, as panels. */
function stacked<P>(parts: readonly (P | undefined)[], ranks: readonly number[], put: Put<P>) {
  const R = ranks.reduce((x, y) => x + y)
  let at = 0
  const all = parts.flatMap((part, route) => {
    const rank = ranks[route] as number
    const placed = part ? put(part, rank, at, R) : []
    at += rank
    return placed
  })
  return packedPanels(
    all.reduce((x, y) => add(x, y)),
    1,
  )
}

/** s·A in its rows.  → (R, K) */
const aboveOf =
  (K: number): Put<LinearPart> =>
  ({ a, scale }, rank, at, R) => {
    const columns = mul(permute(unpanel(a.weight, rank), [1, 0]), scale) // (K, rank)
    return spreadInto(columns, [R, K], [1, K], at * K)
  }

/** What has a column for each rank, in its columns.  → (N, R) */
const besideOf =
  <P>(N: number, columnsOf: (part: P) => Tensor): Put<P> =>
  (part, _rank, at, R) =>
    spreadInto(columnsOf(part), [N, R], [R, 1], at)

/** Magnitudes over norms of each, in the order of panels.  → (L, N) */
function ratiosOf(parts: readonly (LinearPart | undefined)[], N: number): Tensor {
  const shape: Shape = [parts.length, N]
  const ones = new Float32Array(parts.length * N)
  for (const [route, part] of parts.entries()) {
    if (!part?.dora) ones.fill(1, route * N, (route + 1) * N)
  }
  return parts.reduce(
    (sum, part, route) =>
      part?.dora ? add(sum, spreadInto(reshape(part.dora.ratio, [N]), shape, [1], route * N)) : sum,
    constant(ones, shape) as Tensor,
  )
}
