// `elm bench ops --variants`: the ways in which ops run on a GPU, as their declarations have them.
import type { KernelVariant, Op } from "../../engine/index.ts"
import { allOps } from "../../ops/index.ts"
import { outlineCase } from "./cases.ts"

export interface VariantRow {
  readonly op: string
  readonly entry: string
  /** Files under ops/ that the entry point is linked from. */
  readonly from: readonly string[]
  /** Features without which it does not run. */
  readonly needs: readonly string[]
  /** The condition on the op's parameters; empty where there is none. */
  readonly when: string
  /** Least and most workgroups of the cases that it serves. */
  readonly groups: readonly [least: number, most: number]
  /** Tensors that are bound by fours, number by number, and 16 bytes at a time. */
  readonly fours: readonly string[]
  readonly scalars: readonly string[]
  readonly wide: readonly string[]
  /** Cases of the op that meet the condition, of how many. */
  readonly serves: number
  readonly cases: number
}

/** The variants of ops, of each in the order in which they are tried. */
export const variantsOf = (ops: readonly Op[] = allOps): VariantRow[] =>
  ops.flatMap((op) => op.gpu.map((variant) => rowOf(op, variant)))

function rowOf(op: Op, variant: KernelVariant): VariantRow {
  const { entry = op.name, from, needs = [], when, groups } = variant
  const { fours = [], scalars = [], wide = [] } = variant
  const params = op.cases.map((test) => outlineCase(op, test).params)
  const served = params.filter((sizes) => when?.holds(sizes) ?? true)
  const counts = served.map((sizes) => groups?.(sizes) ?? op.rows(sizes))
  return {
    op: op.name,
    entry,
    from,
    needs,
    when: when?.text ?? "",
    groups: [Math.min(...counts), Math.max(...counts)],
    fours,
    scalars,
    wide,
    serves: served.length,
    cases: params.length,
  }
}
