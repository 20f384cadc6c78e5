// The recorded graph of one training step's loss and gradients. The blocks are those of inference
// (model/forward.ts) with steps that keep what the backward pass needs; how parameters move is left
// to optimiser.ts, when the graph runs to step.ts.
import { constant, type Tensor, vjp } from "../../engine/index.ts"
import {
  type Attend,
  block,
  embedded,
  type ModelConfig,
  type Pass,
  type Stream,
  settler,
  trainable,
  type Weights,
} from "../../model/index.ts"
import {
  add,
  broadcast,
  causalAttention,
  embedGrad,
  noPadding,
  qkNormRopeTrain,
} from "../../ops/index.ts"
import { headLoss, type LossSettings } from "./loss.ts"

export interface BatchTensors {
  readonly tokens: Tensor // i32 (B·T)
  readonly targets: Tensor // i32 (B·T)
  readonly starts: Tensor // i32 (B, T): the first position that each position attends to
  readonly count: Tensor // (1): targets that count, here and in the other parts of one mean
}

export interface GraphSettings extends LossSettings {
  /** Runs each block again in the backward pass instead of keeping what is inside it. */
  readonly checkpointActivations: boolean
}

export interface Recorded {
  readonly loss: Tensor // (1)
  readonly ce: Tensor // (1)
  readonly z: Tensor // (1)
  /** By parameter: the gradient in the parameter's own layout, in f32. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>
}

/** Records loss and gradients of a batch with respect to every weight. */
export function recordStep(
  config: ModelConfig,
  weights: Weights,
  batch: BatchTensors,
  settings: GraphSettings,
): Recorded {
  const pass: Pass = {
    config,
    norms: trainable(config.normEps),
    attend: attendTo(batch.starts, weights, config),
  }
  const streams: Stream[] = [embedded(config, weights, batch.tokens)]
  weights.layers.forEach((layer, i) => {
    streams.push(block(pass, layer, i, streams[i] as Stream))
  })
  const { a } = settler(config.normEps)(streams.at(-1) as Stream, weights.norm) // (B·T, D)
  const { loss, ce, z, da, dw } = headLoss(a, weights.embedding, batch, config, settings)

  const gradients = new Map<Tensor, Tensor>()
  let cotangent = backward({ x: a }, { x: da }, streams.at(-1) as Stream, [weights.norm], gradients)
  for (let i = config.layers - 1; i >= 0; i--) {
    const layer = weights.layers[i] as Weights["layers"][number]
    const before = streams[i] as Stream
    const after = settings.checkpointActivations
      ? block(pass, layer, i, before)
      : (streams[i + 1] as Stream)
    cotangent = backward(after, cotangent, before, Object.values(layer), gradients)
  }
  const { x } = settled(cotangent)
  const Padding = config.paddingIndex ?? noPadding
  gradients.set(weights.embedding, embedGrad(batch.tokens, x, dw, { Padding }))
  return { loss, ce, z, gradients }
}

/** Cotangents of a stream, and of the parameters between it and `after`, which go into the map. */
function backward(
  after: Stream,
  given: Stream,
  before: Stream,
  parameters: readonly Tensor[],
  gradients: Map<Tensor, Tensor>,
): Stream {
  const outputs = after.d ? [after.x, after.d] : [after.x]
  const cotangents = after.d ? [given.x, given.d] : [settled(given).x]
  const inputs = before.d ? [before.x, before.d] : [before.x]
  const [x, ...rest] = vjp(outputs, cotangents, [...inputs, ...parameters])
  const d = before.d && rest.shift()
  parameters.forEach((parameter, i) => {
    const none = broadcast(constant([0], [1]), parameter.shape)
    gradients.set(parameter, rest[i] ?? none)
  })
  return d ? { x: x as Tensor, d } : { x: x as Tensor }
}

/** Both branches of a cotangent where the stream has one. */
const settled = ({ x, d }: Stream): Stream => (d ? { x: add(x, d) } : { x })

/** Causal attention within documents, over the keys and values of this batch alone. */
const attendTo =
  (starts: Tensor, { angles }: Weights, config: ModelConfig): Attend =>
  (qkv, { qNorm, kNorm }, i) => {
    const [B, T] = starts.shape as [number, number]
    const [H, G] = [config.queryHeads[i] as number, config.keyHeads[i] as number]
    const sizes = { B, T, H, G, eps: config.normEps }
    const { q, keys, values } = qkNormRopeTrain(qkv, qNorm, kNorm, angles, sizes)
    return causalAttention(q, keys, values, starts, { scale: config.headDim ** -0.5 }).y // (B·T, H·E)
  }
