// The recorded graph of one training step's loss and gradients. The blocks are those of inference
// (model/forward.ts) with steps that keep what the backward pass needs; how parameters move is left
// to update.ts, when the graph runs to step.ts.
import { constant, type Tensor, vjpFrom } from "../../engine/index.ts"
import {
  adapted,
  architectureOf,
  type Decoder,
  type DecoderWeights,
  moving,
  normed,
  type Stream,
  trainedBeside,
} from "../../model/index.ts"
import { add, broadcast, embedGrad, noPadding } from "../../ops/index.ts"
import { type Dropout, thinnedBy } from "./dropout.ts"
import { headLoss, type LossSettings } from "./head.ts"
import { type Lookup, training } from "./recorder.ts"

export interface BatchTensors {
  readonly tokens: Tensor // i32 (B·T)
  readonly targets: Tensor // i32 (B·T)
  readonly starts: Tensor // i32 (B, T): the first position that each position attends to
  readonly count: Tensor // (1): targets that count, here and in the other parts of one mean
  readonly given: Tensor // (B): a number of each sequence, for objectives that take one
  /** Of an adapter's dropout: none where nothing is left out. */
  readonly dropout?: Dropout
}

/** How a step is recorded. */
export interface GraphSettings extends LossSettings {
  /** Runs each block again in the backward pass instead of keeping what is inside it. */
  readonly checkpointActivations: boolean
}

interface Recorded {
  readonly loss: Tensor // (1)
  /** Terms of the loss by the objective's names, (1) each. */
  readonly terms: Readonly<Record<string, Tensor>>
  /** What the objective reports of each sequence. */
  readonly sequences: readonly Tensor[] // (B) each
  /** By parameter: the gradient in the parameter's own layout, in f32. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>
  readonly phases: readonly Phase[]
}

/** What of a step is computed at a time where ranks share it, in this order: forward, the head with the losses,
 *  backward. */
export interface Phase {
  /** The layer whose weights it uses; absent where it is those outside of all layers. */
  readonly layer?: number
  readonly isHead?: true
  /** What those after it need of it. */
  readonly values: readonly Tensor[]
  /** The weights whose gradients it completes. */
  readonly completed: readonly Tensor[]
}

/** Records loss and gradients of a batch with respect to the weights that are trained. */
export function recordStep(
  { config, weights, adapter }: Pick<Decoder, "config" | "weights" | "adapter">,
  trained: Iterable<Tensor>,
  batch: BatchTensors,
  settings: GraphSettings,
): Recorded {
  const family = architectureOf(config)
  const plain = training(batch.starts)
  const thinned = batch.dropout && thinnedBy(batch.dropout)
  const r = adapter ? adapted(plain, adapter, moving(), thinned) : plain
  const streams: Stream[] = [family.embed(config, weights, batch.tokens, r)]
  const phases: Phase[] = [{ values: valuesOf(streams[0]), completed: [] }]
  for (let i = 0; i < config.layers; i++) {
    streams.push(family.block(config, weights, i, streams[i] as Stream, r))
    phases.push({ layer: i, values: valuesOf(streams[i + 1]), completed: [] })
  }
  const { x, norm, linear } = family.head(config, weights, streams.at(-1) as Stream, r)
  const { a } = normed(x, norm) // (B·T, D)
  const [B, T] = batch.starts.shape as [number, number]
  const sizes = { B, T, V: config.vocabSize }
  const { da, dw, ...found } = headLoss(a, linear.weight, batch, sizes, settings)

  // By layer, and those outside of all layers, of which tables and the head have gradients of their own.
  const all = new Set(trained)
  const layers = layersOf({ weights, adapter }).map((layer) => layer.filter((x) => all.has(x)))
  const known = new Set([...layers.flat(), linear.weight, ...r.lookups.map((l) => l.table.weight)])
  const outer = [...all].filter((tensor) => !known.has(tensor))
  const gradients: GradientMap = new Map([[linear.weight, dw]])
  let cotangent = backward({ x: a }, { x: da }, streams.at(-1) as Stream, outer, gradients)
  const isTable = r.lookups.some(({ table }) => table.weight === linear.weight)
  const ofHead = [...(isTable ? [] : [linear.weight])].filter((x) => all.has(x))
  const values = [linear.weight, ...outer].flatMap((x) => (all.has(x) && gradients.get(x)) || [])
  phases.push({ isHead: true, values: [...values, ...valuesOf(cotangent)], completed: ofHead })
  for (let i = config.layers - 1; i >= 0; i--) {
    const before = streams[i] as Stream
    const after = settings.checkpointActivations
      ? family.block(config, weights, i, before, r)
      : (streams[i + 1] as Stream)
    cotangent = backward(after, cotangent, before, layers[i] as Tensor[], gradients)
    phases.push({ layer: i, values: valuesOf(cotangent), completed: layers[i] as Tensor[] })
  }
  embedBackward(streams[0] as Stream, cotangent, r.lookups, outer, gradients)
  const done = new Set([...layers.flat(), ...ofHead])
  phases.push({ values: [], completed: [...all].filter((x) => !done.has(x)) })
  for (const tensor of [...layers.flat(), ...outer]) {
    if (!gradients.has(tensor)) gradients.set(tensor, zeros(tensor))
  }
  return { ...found, gradients, phases: needed(phases) }
}

/** Without what nothing after it needs: the backward pass below the last weight that moves. */
function needed(phases: readonly Phase[]): Phase[] {
  const last = phases.findLastIndex(({ completed, isHead }) => completed.length > 0 || isHead)
  return phases.slice(0, last + 1).map((phase, i) => (i < last ? phase : { ...phase, values: [] }))
}

const valuesOf = (stream: Stream | undefined): Tensor[] =>
  [stream?.x, stream?.d].filter((x) => x !== undefined)

/** Weights of each layer, and what is trained beside them. */
export const layersOf = ({ weights, adapter }: LayeredWeights): Tensor[][] =>
  weights.layers.map((layer) =>
    Object.values(layer)
      .flatMap(({ weight, bias }) => [
        weight,
        bias,
        ...(weight ? trainedBeside(adapter, weight) : []),
      ])
      .filter((tensor) => tensor !== undefined),
  )

interface LayeredWeights extends Pick<Decoder, "adapter"> {
  readonly weights: Pick<DecoderWeights, "layers">
}

type GradientMap = Map<Tensor, Tensor>

const zeros = ({ shape }: Tensor): Tensor => broadcast(constant([0], [1]), shape)

/** Adds a gradient, if there is one, to that of a parameter. */
function addTo(gradients: GradientMap, parameter: Tensor, gradient: Tensor | undefined): void {
  if (!gradient) return
  const other = gradients.get(parameter)
  gradients.set(parameter, other ? add(other, gradient) : gradient)
}

/** Cotangents of a stream, and of the parameters between it and `after`, which go into the map. */
function backward(
  after: Stream,
  given: Stream,
  before: Stream,
  parameters: readonly Tensor[],
  gradients: GradientMap,
): Stream {
  const outputs = after.d ? [after.x, after.d] : [after.x]
  const cotangents = after.d ? [given.x, given.d] : [summed(given).x]
  const inputs = before.d ? [before.x, before.d] : [before.x]
  // Of a stream's two parts one may depend on the other; what flows there is the layer before's.
  const [x, ...rest] = vjpFrom([...inputs, ...parameters], outputs, cotangents)
  const d = before.d && rest.shift()
  parameters.forEach((parameter, i) => {
    addTo(gradients, parameter, rest[i])
  })
  return d ? { x: x as Tensor, d } : { x: x as Tensor }
}

/** Gradients of what is between the tables and the first stream, and of the tables, in the memory of
 *  the head's where it has the same. */
function embedBackward(
  first: Stream,
  cotangent: Stream,
  lookups: readonly Lookup[],
  outer: readonly Tensor[],
  gradients: GradientMap,
): void {
  const { x } = summed(cotangent)
  const rows = lookups.map((lookup) => lookup.x)
  const found =
    rows.length === 1 && rows[0] === first.x ? [x] : vjpFrom([...rows, ...outer], [first.x], [x])
  lookups.forEach(({ table, ids, padding = noPadding }, i) => {
    const sum = gradients.get(table.weight) ?? zeros(table.weight)
    const dx = found[i]
    gradients.set(table.weight, dx ? embedGrad(ids, dx, sum, { Padding: padding }) : sum)
  })
  outer.forEach((parameter, i) => {
    addTo(gradients, parameter, found[rows.length + i])
  })
}

/** Both branches of a cotangent where the stream has one. */
const summed = ({ x, d }: Stream): Stream => (d ? { x: add(x, d) } : { x })
