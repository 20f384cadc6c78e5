// What a token has to read and to multiply: the weights in the plan of its decode step.
import { bound, bufferOf, type Plan, type Tensor } from "../../engine/index.ts"
import { internals, type LanguageModel } from "../../model/index.ts"
import type { Factors } from "./ceiling.ts"

/** A matrix that a step reads whole. */
interface Read {
  readonly matrix: Tensor // (P, K, 16) or (P, C, Z)
  /** Multiplications and additions with it for one token. */
  readonly flops: number
}

/** Dimensions of a matrix in panels. */
const panelRank = 3

/** Matrices that the plan reads whole, in its order: one that several layers share as often as they read
 *  it, and none of which a token takes a row. */
function readsOf({ steps }: Plan, weights: Iterable<Tensor>): Read[] {
  const own = new Set([...weights].filter(({ shape }) => shape.length === panelRank).map(bufferOf))
  return steps.flatMap(({ op, call, inputs }) => {
    const { bytes, flops } = op.cost(call.params)
    return inputs.flatMap(({ tensor, storage: { buffer }, offset }): Read[] => {
      if (!buffer || !own.has(buffer) || bytes < tensor.bytes) return []
      const matrix = bound(buffer, tensor.shape, tensor.dtype, offset)
      return [{ matrix, flops: op.isProduct ? flops : 2 * tensor.size }]
    })
  })
}

/** What a model's tokens read and multiply. */
interface TokenWork {
  readonly matrices: readonly Tensor[]
  readonly factors: Factors
  /** Of weights, for one token. */
  readonly bytes: number
  /** Of the products, for a prompt: the head, which comes last, sees its last token only. */
  promptFlops(tokens: number): number
}

export function workOf(model: LanguageModel): TokenWork {
  const reads = readsOf(internals(model).decodePlan, model.tensors.values())
  const flops = reads.reduce((sum, read) => sum + read.flops, 0)
  const head = reads.at(-1)?.flops ?? 0
  return {
    matrices: reads.map(({ matrix }) => matrix),
    // Blocks of whole numbers.
    factors: reads.some(({ matrix }) => matrix.dtype === "u8") ? "whole" : "floats",
    bytes: reads.reduce((sum, { matrix }) => sum + matrix.bytes, 0),
    promptFlops: (tokens) => tokens * (flops - head) + head,
  }
}
