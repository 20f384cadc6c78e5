// A recorder of a model with an adapter: what the products beside the weights add to those of the
// recorder that it is made of.
import type { Tensor } from "../../engine/index.ts"
import {
  add,
  affine,
  matmul,
  mul,
  pack,
  panelsOf,
  panelWidth,
  permute,
  reshape,
  rsqrt,
  slice,
  sumSquares,
  sumSquaresOfBlocks,
  swigluPanels,
  unpack,
} from "../../ops/index.ts"
import { widenedRows } from "../products.ts"
import { biased, type Linear, normed, type Recorder, type Stream } from "../recorder.ts"
import type { AdapterParts, Dora, LinearPart } from "./parts.ts"
import { joined, restOf } from "./shares.ts"

/** How parts are read. */
interface Reading {
  /** With its shares joined. */
  part(part: LinearPart): LinearPart
  /** Magnitudes over norms.  → (P, 1, 16) */
  ratio(part: LinearPart, dora: Dora): Tensor
}

/** As generation takes them, which was made before. */
export const kept: Reading = { part: (part) => part, ratio: (_, { ratio }) => ratio }

/** Of the numbers that move, in one graph. */
export function moving(): Reading {
  const known = new Map<LinearPart, LinearPart>()
  const part = (given: LinearPart): LinearPart => {
    const found = known.get(given) ?? joined(given)
    known.set(given, found)
    return found
  }
  return { part, ratio: ratioNow }
}

/** Inputs of an adapter with a part of them left out, of a stream of random numbers.  x (N, K) → (N, K) */
type Thinned = (x: Tensor, stream: number) => Tensor

/** The same recorder with adapters beside its weights. */
export function adapted<R extends Recorder>(
  r: R,
  { linears, tables }: AdapterParts,
  reading: Reading,
  thinned?: Thinned,
): R {
  /** W·x + s·B·(A·x), by magnitudes over norms, of so many outputs. */
  const product = (x: Tensor, w: Linear, given: LinearPart): Tensor => {
    const part = reading.part(given)
    const { a, b, scale, dora, stream } = part
    const thin = thinned ? thinned(x, stream) : x // (N, K)
    const h = mul(r.multiply(thin, a), scale) // (N, r)
    const low = r.multiply(h, { ...b, outputs: w.outputs }) // (N, outputs)
    if (!dora) return r.multiplyAdd(x, w, low)
    const panels = reading.ratio(part, dora) // (P, 1, 16)
    const ratio = slice(reshape(panels, [panels.size]), 0, 0, w.outputs)
    if (!thinned) return mul(r.multiplyAdd(x, w, low), ratio)
    const y = r.multiply(x, w) // (N, outputs)
    const others = mul(r.multiply(thin, w), affine(ratio, 1, -1))
    return add(add(y, others), mul(low, ratio))
  }
  return besides(r, {
    has: (weight) => linears.has(weight),
    product: (x, w) => product(x, w, linears.get(w.weight) as LinearPart),
    rows(ids, table, padding) {
      const part = tables.get(table.weight)
      if (!part) return undefined
      const h = mul(r.embed(ids, part.a, padding), part.scale) // (N, r)
      return { h, b: part.b }
    },
  })
}

/** What stands beside weights. */
interface Beside {
  /** Whether anything stands beside a matrix. */
  has(weight: Tensor): boolean
  /** Its product with what stands beside it.  x (N, K) → (N, outputs) */
  product(x: Tensor, w: Linear): Tensor
  /** What is added to rows of a table that are looked up: B·h.  h (N, r), b (D, r) */
  rows(
    ids: Tensor,
    table: Linear,
    padding?: number,
  ): { readonly h: Tensor; readonly b: Linear } | undefined
}

/** The same recorder with products and rows of what stands beside its weights. */
export function besides<R extends Recorder>(r: R, beside: Beside): R {
  const { product } = beside
  return {
    ...r,
    embed(ids, table, padding) {
      const x = r.embed(ids, table, padding)
      const added = beside.rows(ids, table, padding)
      return added ? r.multiplyAdd(added.h, added.b, x) : x
    },
    normLinear(before, n, w, then) {
      if (!beside.has(w.weight)) return r.normLinear(before, n, w, then)
      const { x, a } = normed(before, n)
      if (then !== "swiglu") return { x, y: biased(product(a, w), w, then) }
      // Gates and values in turns, panel by panel.
      const outputs = (w.weight.shape[0] as number) * panelWidth
      return { x, y: swigluPanels(product(a, { ...w, outputs }), { F: w.outputs / 2 }) }
    },
    addLinear(x, o, w) {
      if (!beside.has(w.weight)) return r.addLinear(x, o, w)
      return { x: add(summed(x), biased(product(o, w), w)) }
    },
  }
}

const summed = ({ x, d }: Stream): Tensor => (d ? add(x, d) : x)

/** Magnitudes over the norms of the rows of W + s·B·A, which count as constants.  → (P, 1, 16) */
export function ratioNow(part: LinearPart, { magnitude }: Dora): Tensor {
  const { a, b, scale, base } = part
  const P = magnitude.shape[0] as number
  const K = base.inputs
  const rows = unpack(a.weight, { N: a.outputs, K, Halves: 1, dtype: "f32" }) // (r, K)
  const columns = mul(permute(rows, [1, 0]), scale) // (K, r)
  const of = base.weight.dtype === "u8" ? sumSquaresOfBlocks : sumSquares
  const squares = of(columns, b.weight, base.weight) // (P, 16)
  // Nothing flows through what is packed. Panels end in rows that are not there: zeros, of which the root
  // is not to be divided by.
  const all = reshape(squares, [squares.size, 1])
  const inPanels = pack(all, { P, Halves: 1, dtype: "f32" }).w // (P, 1, 16)
  const ratio = mul(magnitude, rsqrt(affine(inPanels, 1, 1e-30)))
  const rest = restOf(part)
  return rest ? add(ratio, rest) : ratio
}

/** The rows that a matrix and its adapter have together, a constant.  → (N, K) */
export function wholeRows(part: LinearPart): Tensor {
  const whole = sumRowsOf(part)
  if (!part.dora) return whole
  const N = part.base.outputs
  const ratio = unpack(ratioNow(part, part.dora), { N, K: 1, Halves: part.halves, dtype: "f32" })
  return mul(whole, ratio)
}

/** W + s·B·A, a constant.  → (N, K) */
function sumRowsOf({ a, b, scale, base, halves: Halves }: LinearPart): Tensor {
  const { inputs: K, outputs: N } = base
  const r = a.outputs
  const columns = permute(widenedRows(a.weight, { N: r, K, Halves: 1 }), [1, 0]) // (K, r)
  const panels = pack(columns, { P: panelsOf(K), Halves: 1, dtype: "f32" }).w
  const low = matmul(mul(widenedRows(b.weight, { N, K: r, Halves }), scale), panels, { N: K }) // (N, K)
  return add(widenedRows(base.weight, { N, K, Halves }), low)
}
