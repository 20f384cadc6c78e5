// One pass over whole sequences, without a session: logits and whatever else is asked for.
import { type Backend, bufferOf, readBound, runOnce, type Tensor } from "../../engine/index.ts"
import { checkBatch } from "../checks.ts"
import { type Decoder, hidden, logitsOf } from "../forward.ts"
import type { Trace } from "../recorder.ts"
import { Holder } from "../weights/holder.ts"
import { allocateCaches, type CacheDType, cacheUpdates } from "./state.ts"

/** Logits (B, T, V) of the ids, then the values of `more`, which is called when all is recorded. */
export async function evaluate(
  decoder: Decoder,
  backend: Backend,
  cache: CacheDType,
  ids: readonly (readonly number[])[],
  more: () => readonly Tensor[] = () => [],
  trace?: Trace,
): Promise<Float32Array[]> {
  const [B, T] = checkBatch(ids, decoder.config)
  const held = new Holder(backend)
  try {
    const caches = allocateCaches(decoder, held, { batch: B, capacity: T, cache })
    const tokens = held.allocate([B * T], "i32")
    const position = held.allocate([B], "i32")
    backend.write(bufferOf(tokens), Int32Array.from(ids.flatMap((row) => [...row])))
    const result = hidden(decoder, { tokens, position, caches }, trace)
    const wanted = [logitsOf(decoder, result.recorder, result.stream, trace), ...more()]
    const targets = wanted.map((x) => held.allocate(x.shape, x.dtype))
    const updates = targets.map((target, i) => [target, wanted[i] as Tensor] as const)
    await runOnce(backend, trace ? updates : [...updates, ...cacheUpdates(caches, result.caches)])
    return (await Promise.all(targets.map((x) => readBound(x, backend)))) as Float32Array[]
  } finally {
    held.free()
  }
}

/** Logits, and every intermediate value of the forward pass by name (forward.ts). */
export async function evaluateTraced(
  decoder: Decoder,
  backend: Backend,
  cache: CacheDType,
  ids: readonly (readonly number[])[],
): Promise<Map<string, Float32Array>> {
  const seen: [name: string, value: Tensor][] = []
  const more = () => seen.map(([, value]) => value)
  const trace: Trace = (name, value) => {
    seen.push([name, value])
  }
  const [logits, ...rest] = await evaluate(decoder, backend, cache, ids, more, trace)
  return new Map([
    ["logits", logits as Float32Array],
    ...rest.map((values, i) => [seen[i]?.[0], values] as [string, Float32Array]),
  ])
}
