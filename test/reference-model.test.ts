// The whole model against the original implementation: logits, intermediates, loss, gradients,
// greedy tokens, the cache.

import {
  allocate,
  type Backend,
  bufferOf,
  constant,
  grad,
  readBound,
  readTensors,
  runOnce,
  type Tensor,
} from "../engine/index.ts"
import { type Decoder, hidden, logitsOf } from "../model/forward.ts"
import { allocateCaches, cacheUpdates } from "../model/generate/state.ts"
import {
  type DecoderConfig,
  inference,
  type LayerCache,
  OpenELM,
  openModel,
  tensorShapes,
} from "../model/index.ts"
import { Holder } from "../model/weights/holder.ts"
import { loadWeights } from "../model/weights/weights.ts"
import { unpanel } from "../ops/index.ts"
import { goldenBackends, relativeError } from "./backends.ts"
import { fixtureJson, golden, goldenFolder, goldenOf } from "./fixtures.ts"
import { lossTerms } from "./golden.ts"
import t from "./tap.ts"

const folder = goldenFolder()
t.teardown(() => folder.remove())
const expected = fixtureJson("model/expected.json")
const activations = await golden("model/activations.safetensors")
const grads = await golden("model/grads.safetensors")
const generation = await golden("model/generation.safetensors")
const ids: number[][] = expected.input_ids
const [B, T] = [2, 24]
const recorderOf = inference

const absolute = (got: ArrayLike<number>, want: ArrayLike<number>): number => {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let i = 0; i < want.length; i++) {
    worst = Math.max(worst, Math.abs((got[i] as number) - (want[i] as number)))
  }
  return worst
}

for (const { label, open } of goldenBackends) {
  t.test(`the golden model on ${label} gives the original's logits and tokens`, async (t) => {
    const backend = await open()
    const model = await OpenELM.load(folder.path, { backend })
    t.teardown(async () => {
      await model.close()
      await backend.close()
    })

    const seen = await model.activations(ids)
    for (const [name, got, want] of intermediates(seen)) {
      const error = absolute(got, want)
      t.ok(error < 2e-5, `${name} is off by ${error.toExponential(1)}`)
    }
    const logits = await model.logits(ids)
    t.same(logits, seen.get("logits"), "logits do not depend on what else is read")
    const exact = absolute(logits, goldenOf(activations, "f64/logits").values)
    t.ok(exact < (label === "js" ? 5e-7 : 2e-5), `float64 logits: ${exact.toExponential(1)}`)

    const tokens: number[] = []
    const stop: number[] = []
    for await (const { id } of model.generate(expected.generation.prompt, {
      maxNewTokens: 16,
      stop,
    })) {
      tokens.push(id)
    }
    t.same(tokens, expected.generation.new_tokens, "16 greedy tokens")

    const steps = await stepLogits(backend, expected.generation.prompt, tokens)
    const wanted = goldenOf(generation, "step_logits").values
    t.ok(absolute(steps.cached, wanted) < 2e-5, "cached decoding gives the golden logits")
    t.ok(absolute(steps.uncached, wanted) < 2e-5, "uncached decoding gives the golden logits")
    t.ok(absolute(steps.cached, steps.uncached) < 2e-5, "cached and uncached decoding are equal")
    const values = goldenOf(generation, "final_cache.past_values.3").values
    t.ok(absolute(steps.values, values) < 2e-5, "the cache holds the golden values")

    async function stepLogits(backend: Backend, prompt: number[], tokens: number[]) {
      const opened = await openModel(folder.path)
      const loaded = await loadWeights(opened, backend, "f32")
      await opened.close()
      const held = new Holder(backend)
      const decoder = { config: opened.config, weights: loaded.weights, recorderOf }
      const caches = allocateCaches(decoder, held, {
        batch: 1,
        capacity: 32,
        cache: "f32",
      })
      const cached: number[] = []
      const uncached: number[] = []
      for (let n = 0; n < tokens.length; n++) {
        const all = [...prompt, ...tokens.slice(0, n)]
        const input = n === 0 ? prompt : [tokens[n - 1] as number]
        const start = all.length - input.length
        cached.push(...(await step(backend, decoder, caches, input, start)))
        uncached.push(...(await model.logits([all])).slice(-opened.config.vocabSize))
      }
      const last = caches.at(-1) as LayerCache
      const [, G, S, E] = last.values.shape as [number, number, number, number]
      const full = await readBound(last.values, backend)
      const used = prompt.length + tokens.length - 1
      const values = Array.from({ length: G }, (_, g) => [
        ...full.slice(g * S * E, (g * S + used) * E),
      ])
      held.free()
      loaded.free()
      return { cached, uncached, values: values.flat() }
    }
  })

  t.test(`loss and gradients on ${label} are the original's`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const opened = await openModel(folder.path)
    const { config } = opened
    const loaded = await loadWeights(opened, backend, "f32")
    await opened.close()
    const held = new Holder(backend)
    const decoder = { config, weights: loaded.weights, recorderOf }
    const caches = allocateCaches(decoder, held, {
      batch: B,
      capacity: T,
      cache: "f32",
    })
    const tokens = constant(ids.flat(), [B * T], "i32")
    const position = constant([0, 0], [B], "i32")
    const { stream, recorder } = hidden(decoder, { tokens, position, caches })
    const targets = constant(expected.targets.flat(), [B * T], "i32")
    const options = { ignoreIndex: expected.ignore_index, zLoss: expected.z_loss_eps }
    const { loss, ce, z } = lossTerms(logitsOf(decoder, recorder, stream), targets, options)

    const named = loaded.tensors
    const gradients = grad(loss, [...named.values()])
    const matrices = [...named.keys()].map((name, i) =>
      asRows(config, name, gradients[i] as Tensor),
    )
    const [l, c, zz, ...found] = await readTensors([loss, ce, z, ...matrices], backend)
    const losses = [l, c, zz].map((x) => x?.[0] as number)
    const { total_loss, ce_loss, z_loss } = expected.loss.f64
    t.ok(absolute(losses, [total_loss, ce_loss, z_loss]) < 3e-6, `losses ${losses}`)
    ;[...named.keys()].forEach((name, i) => {
      const error = relativeError(found[i] ?? [], goldenOf(grads, name).values)
      t.ok(error < 2e-5, `${name} is off by ${error.toExponential(1)}`)
    })
    held.free()
    loaded.free()
  })
}

/** Pairs of what the model exposes and what the original has, in the same order of elements. */
function intermediates(
  seen: ReadonlyMap<string, Float32Array>,
): [string, Float32Array, Float64Array][] {
  const got = (name: string): Float32Array => seen.get(name) as Float32Array
  const want = (name: string): Float64Array => goldenOf(activations, `f32/${name}`).values
  const heads = (name: string, H: number): Float32Array => headsFirst(got(name), H)
  const sum = (a: string, b: string) => want(a).map((v, i) => v + (want(b)[i] as number))
  const block = "blocks.2"
  return [
    ["embed", got("embed"), want("embed")],
    ...[0, 1, 2].map((i) => named(`hidden.${i}`, got(`blocks.${i + 1}.x`), want(`hidden.${i}`))),
    ["hidden.3", got("hidden"), want("hidden.3")],
    ["logits", got("logits"), want("logits")],
    ["qkv_proj", got(`${block}.qkv`), want("block2.qkv_proj")],
    ["q_roped", heads(`${block}.q`, 4), want("block2.q_roped")],
    ["k_roped", got(`${block}.keys`), want("block2.k_roped")],
    ["attn_heads_out", got(`${block}.attention`), want("block2.attn_heads_out")],
    ["attn_out_proj added", got(`${block}.middle`), sum("hidden.1", "block2.attn_out_proj")],
  ]
}

const named = (...pair: [string, Float32Array, Float64Array]) => pair

/** (B, T, H, E) → (B, H, T, E), as the original keeps heads. */
function headsFirst(x: Float32Array, H: number): Float32Array {
  const E = x.length / (B * T * H)
  return x.map((_, i) => {
    const [e, t, h, b] = [
      i % E,
      Math.floor(i / E) % T,
      Math.floor(i / E / T) % H,
      Math.floor(i / E / T / H),
    ]
    return x[((b * T + t) * H + h) * E + e] as number
  })
}

/** A gradient in panels as the rows of the original's matrix. */
function asRows(config: DecoderConfig, name: string, gradient: Tensor): Tensor {
  const { shape, kind } = tensorShapes(config).get(name) as { shape: number[]; kind: string }
  return kind === "vector"
    ? gradient
    : unpanel(gradient, shape[0] as number, kind === "gated" ? 2 : 1)
}

/** Logits of the last of `input`, read into the caches at `start`. */
async function step(
  backend: Backend,
  decoder: Decoder,
  caches: readonly LayerCache[],
  input: readonly number[],
  start: number,
): Promise<number[]> {
  const tokens = constant(input, [input.length], "i32")
  const position = constant([start], [1], "i32")
  const result = hidden(decoder, { tokens, position, caches })
  const logits = logitsOf(decoder, result.recorder, result.stream)
  const target = allocate(backend, logits.shape)
  await runOnce(backend, [[target, logits], ...cacheUpdates(caches, result.caches)])
  const values = [...(await readBound(target, backend))]
  bufferOf(target).free()
  return values.slice(-decoder.config.vocabSize)
}
