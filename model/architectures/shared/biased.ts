// Norms and products with biases: LayerNorm's weight and bias, a matrix and its bias, by the names that end
// in .weight and .bias; in the list of a model's weights, and as its graphs are recorded.
import type { Parts, WeightKind, WeightSpec } from "../../architecture.ts"
import type { Linear, Norm } from "../../recorder.ts"

/** A list of weights in the order of a state dict, of a model of width D. */
export function weightList(D: number) {
  const found: WeightSpec[] = []
  const add = (name: string, kind: WeightKind, shape: number[], rest: Partial<WeightSpec> = {}) => {
    found.push({ name, kind, shape, std: (shape[1] ?? 1) ** -0.5, ...rest })
  }
  return {
    found,
    add,
    norm(name: string): void {
      add(`${name}.weight`, "vector", [D])
      add(`${name}.bias`, "bias", [D])
    },
    linear(name: string, N: number, K: number, rest: Partial<WeightSpec> = {}): void {
      add(`${name}.weight`, "matrix", [N, K], rest)
      add(`${name}.bias`, "bias", [N])
    },
  }
}

/** The norms and products of a model by their names without endings. */
export const biasedParts = (parts: Parts, eps: number) => ({
  norm: (name: string): Norm => ({
    kind: "layer",
    eps,
    weight: parts.vector(`${name}.weight`),
    bias: parts.vector(`${name}.bias`),
  }),
  linear: (name: string): Linear => ({
    ...parts.linear(`${name}.weight`),
    bias: parts.vector(`${name}.bias`),
  }),
})
