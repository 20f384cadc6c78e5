// `elm bench ops --variants`: the ways in which ops run on a GPU, as their declarations have them.
import type { KernelVariant, Op, Sizes } from "../../engine/index.ts"
import { allOps } from "../../ops/index.ts"
import { outlineCase } from "./cases.ts"

export interface VariantRow {
  readonly op: string
  readonly entry: string
  /** Files under ops/ that the entry point is linked from. */
  readonly from: readonly string[]
  /** Features without which it does not run. */
  readonly needs: readonly string[]
  /** The condition on the op's parameters, as it is written; empty where there is none. */
  readonly when: string
  /** Workgroups, as they are written; "rows", those of the op. */
  readonly groups: string
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
  return {
    op: op.name,
    entry,
    from,
    needs,
    when: when ? formulaOf(when) : "",
    groups: groups ? formulaOf(groups) : "rows",
    fours,
    scalars,
    wide,
    serves: params.filter((sizes) => when?.(sizes) ?? true).length,
    cases: params.length,
  }
}

/** The text of a function of parameters, without their names. */
const formulaOf = (f: (params: Sizes) => unknown): string =>
  String(f)
    .replace(/^\s*(function\s*\w*)?\s*\(?\{?[\w\s,]*\}?\)?\s*(=>)?\s*/, "")
    .replace(/\s+/g, " ")
