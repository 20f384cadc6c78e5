// A recorder of several sequences, each with an adapter of its own beside the same weights: A of all adapters one
// above the other, B of all side by side, and of what A gives only what is the sequence's own. So one product
// serves all of them, whoever goes through which.
import type { Tensor } from "../../engine/index.ts"
import { mul, slice, take } from "../../ops/index.ts"
import type { Linear, Recorder } from "../recorder.ts"
import { besides } from "./recorder.ts"

/** Adapters beside a matrix or a table: L of them, of R ranks together. */
export interface RoutePart {
  /** Scales are in it. */
  readonly a: Linear // (R, K), of a table (V, R)
  readonly b: Linear // (N, R)
  /** 1 where a rank is an adapter's own, else 0. */
  readonly own: Tensor // (L, R)
}

/** The same of a matrix. */
export interface RouteLinear extends RoutePart {
  /** Magnitudes over norms, 1 of adapters that have none; undefined where none has any. */
  readonly ratios: Tensor | undefined // (L, 16P)
}

/** Adapters by the weights that they stand beside. */
export interface RouteParts {
  readonly linears: ReadonlyMap<Tensor, RouteLinear>
  readonly tables: ReadonlyMap<Tensor, RoutePart>
}

/** The same recorder of B sequences of one position each, with adapters beside its weights.  routes i32 (B) */
export function routed<R extends Recorder>(
  r: R,
  { linears, tables }: RouteParts,
  routes: Tensor,
): R {
  const known = new Map<Tensor, Tensor>()
  /** Rows of a table of adapters: each sequence's. */
  const each = (table: Tensor): Tensor => {
    const rows = known.get(table) ?? take(table, routes)
    known.set(table, rows)
    return rows
  }
  return besides(r, {
    has: (weight) => linears.has(weight),
    product(x, w) {
      const { a, b, own, ratios } = linears.get(w.weight) as RouteLinear
      const h = mul(r.multiply(x, a), each(own)) // (B, R)
      const low = r.multiply(h, { ...b, outputs: w.outputs }) // (B, outputs)
      const y = r.multiplyAdd(x, w, low) // (B, outputs)
      return ratios ? mul(y, slice(each(ratios), 1, 0, w.outputs)) : y
    },
    rows(ids, table, padding) {
      const part = tables.get(table.weight)
      if (!part) return undefined
      return { h: mul(r.embed(ids, part.a, padding), each(part.own)), b: part.b } // (B, R)
    },
  })
}
