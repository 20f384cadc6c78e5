// What a fused weight is in published files, where an adapter stands beside each part by itself: queries, keys
// and values, or gates and values. Its parts have tensors of their own, which move and lie in files; products
// take them joined, A above A and B beside B, with zeros where rows of one meet columns of another.
import { constant, type Tensor } from "../../engine/index.ts"
import { add, packedPanels, spreadInto, unpanel } from "../../ops/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { plainName } from "../checkpoints/names.ts"
import type { Spec } from "../weights/layout.ts"
import type { LinearPart } from "./parts.ts"

/** A module of published files, as rows of a weight. */
export interface AdapterShare {
  /** Its plain name (checkpoints/names.ts), and the whole one. */
  readonly name: string
  readonly published: string
  /** The weight's row of each of its own. */
  readonly rows: readonly number[]
}

const withoutEnd = (name: string): string => name.replace(/\.weight$/, "")

/** The modules that published files have for a weight: one, or those that are fused in it. */
export function sharesOf(config: DecoderConfig, { name, shape, from }: Spec): AdapterShare[] {
  const N = shape[0] as number
  const prefix = architectureOf(config).prefix ?? ""
  const found = new Map<string, number[]>()
  let at = 0
  for (const { name: published, start = 0, count = N } of from ?? [{ name }]) {
    const rows = found.get(published) ?? []
    found.set(published, rows)
    for (let i = 0; i < count; i++) rows[start + i] = at + i
    at += count
  }
  return [...found].map(([published, rows]) => {
    const whole = withoutEnd(prefix + published)
    return { name: plainName(whole), published: whole, rows }
  })
}

/** The name of the module that another's numbers are a copy of: of networks that all layers share. */
export function originalOf(config: DecoderConfig): (name: string) => string {
  const copies = architectureOf(config).strays?.(config).copies
  return (name) => withoutEnd(copies?.get(`${name}.weight`) ?? name)
}

/** A part with its shares joined as they are now, in the graph; one without shares is as it is. */
export function joined(part: LinearPart): LinearPart {
  const { shares, halves, dora, base } = part
  if (shares.length === 0) return part
  const { inputs: K, outputs: N } = base
  const R = part.a.outputs
  const sum = (of: (share: LinearPart["shares"][number]) => Tensor): Tensor =>
    shares.map(of).reduce((x, y) => add(x, y))
  const a = sum(({ a, at }) => spreadInto(unpanel(a.weight, a.outputs), [R, K], [K, 1], at * K))
  const b = sum(({ b, at, first }) =>
    spreadInto(unpanel(b.weight, b.outputs), [N, R], [R, 1], first * R + at),
  )
  const m = (): Tensor =>
    sum(({ b, first, magnitude }) =>
      spreadInto(unpanel(magnitude as Tensor, b.outputs), [N, 1], [1, 1], first),
    )
  return {
    ...part,
    a: { ...part.a, weight: packedPanels(a, 1) },
    b: { ...part.b, weight: packedPanels(b, halves) },
    dora: dora && { ...dora, magnitude: packedPanels(m(), halves) },
  }
}

/** Rows of a weight that no share has, which magnitudes leave as they are: 1 there.  → (P, 1, 16) */
export function restOf({ shares, base, halves }: LinearPart): Tensor | undefined {
  if (shares.length === 0) return undefined
  const rest = new Float32Array(base.outputs).fill(1)
  for (const { first, b } of shares) rest.fill(0, first, first + b.outputs)
  if (rest.every((x) => x === 0)) return undefined
  return packedPanels(constant(rest, [base.outputs, 1]), halves)
}
