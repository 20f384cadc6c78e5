// The forward pass of a decoder of any family: the stream at its start, its blocks, its logits. What a
// block is is the family's (architectures/), which steps it takes the recorder's (recorder.ts).
import type { Tensor } from "../engine/index.ts"
import { add, take } from "../ops/index.ts"
import type { AdapterParts } from "./adapters/parts.ts"
import type { DecoderConfig, DecoderWeights } from "./architecture.ts"
import { architectureOf } from "./architectures/index.ts"
import type { Inputs, LayerCache, Recorder, RecorderOf, Stream, Trace } from "./recorder.ts"

/** A model as graphs are recorded of it. */
export interface Decoder {
  readonly config: DecoderConfig
  readonly weights: DecoderWeights
  readonly recorderOf: RecorderOf
  /** What stands beside its weights, where there is an adapter. */
  readonly adapter?: AdapterParts
  /** Of several adapters side by side: what a sequence of each goes through by itself. */
  readonly routes?: readonly Decoder[]
}

interface Hidden {
  readonly stream: Stream
  /** The caches with this call's keys and values in them. */
  readonly caches: readonly LayerCache[]
  readonly recorder: Recorder
}

/** All blocks, up to but without the final norm. */
export function hidden(
  { config, weights, recorderOf }: Decoder,
  inputs: Inputs,
  trace?: Trace,
): Hidden {
  const family = architectureOf(config)
  const recorder = recorderOf(inputs)
  let stream = family.embed(config, weights, inputs.tokens, recorder) // (B·T, D)
  trace?.("embed", stream.x)
  for (let i = 0; i < config.layers; i++) {
    const r = trace ? traced(recorder, `blocks.${i}`, trace) : recorder
    stream = family.block(config, weights, i, stream, r) // (B·T, D)
  }
  return { stream, caches: recorder.caches, recorder }
}

/** Logits of every row of the stream.  → (rows, V) */
export function logitsOf(
  { config, weights }: Decoder,
  recorder: Recorder,
  stream: Stream,
  trace?: Trace,
): Tensor {
  trace?.("hidden", stream.d ? add(stream.x, stream.d) : stream.x)
  const { x, norm, linear } = architectureOf(config).head(config, weights, stream, recorder)
  return recorder.normLinear(x, norm, linear).y // (rows, V)
}

/** Rows of the stream by their numbers.  (N, D), rows i32 (R) → (R, D) */
export function rowsAt({ x, d }: Stream, rows: Tensor): Stream {
  return d ? { x: take(x, rows), d: take(d, rows) } : { x: take(x, rows) }
}

/** The recorder of one block, which names what passes: the stream before each half, and what the
 *  products and attention give. */
function traced(recorder: Recorder, at: string, trace: Trace): Recorder {
  const see: Trace = (name, value) => trace(`${at}.${name}`, value)
  return {
    ...recorder,
    normLinear(before, n, w, then) {
      const { x, y } = recorder.normLinear(before, n, w, then)
      see(then ? "middle" : "x", x.x)
      see(then ? "gate" : "qkv", y)
      return { x, y }
    },
    attend(qkv, how) {
      const o = recorder.attend(qkv, how, see)
      see("attention", o)
      return o
    },
  }
}
