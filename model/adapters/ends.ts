// The two ends of a model: which of its weights are looked up, and which give the logits.
import { constant, type Tensor } from "../../engine/index.ts"
import { architectureOf } from "../architectures/index.ts"
import type { Source } from "../generate/source.ts"
import { inference } from "../recorder.ts"

/** Names of the weights that are looked up and that give the logits. */
export function endsOf({ decoder, tensors }: Source): { embedding: string; head: string } {
  const { config, weights } = decoder
  const names = new Map([...tensors].map(([name, tensor]) => [tensor, name]))
  const none = constant([0], [1], "i32")
  const recorder = inference({ tokens: none, position: none, caches: [] })
  const x = constant(new Float32Array(config.modelDim), [1, config.modelDim])
  const { linear } = architectureOf(config).head(config, weights, { x }, recorder)
  const nameOf = (tensor: Tensor): string => names.get(tensor) ?? ""
  return { embedding: nameOf(weights.embedding.weight), head: nameOf(linear.weight) }
}
