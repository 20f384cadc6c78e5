// Families of one file: their gradients against finite differences, all backends against js, quantized
// weights against whole ones, in the variants that their configs have.

import { JsBackend } from "../backends/js/index.ts"
import {
  type Backend,
  bufferOf,
  constant,
  readTensors,
  type Tensor,
  uniformAt,
} from "../engine/index.ts"
import { LanguageModel, lossAndGradients, objectives } from "../index.ts"
import { configJson, internals, parameterCount, parseConfig } from "../model/index.ts"
import { recordStep } from "../train/step/graph.ts"
import { allBackends, relativeError } from "./backends.ts"
import { smallPart } from "./driver.ts"
import { collect } from "./small.ts"
import t from "./tap.ts"

/** Fields as Hugging Face's Llama has them. */
const sizes = {
  hidden_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 19,
  vocab_size: 37,
  max_position_embeddings: 16,
  eos_token_id: 36,
}
const olmo = { model_type: "olmo", ...sizes }
const llama = { model_type: "llama", ...sizes, num_key_value_heads: 2 }
const neox = { model_type: "gpt_neox", ...sizes, num_attention_heads: 3 }
const opt = { model_type: "opt", ...sizes, ffn_dim: 19 }
const variants = {
  "olmo, untied, fewer key heads": { ...olmo, num_key_value_heads: 2 },
  "olmo, tied, clipped": { ...olmo, tie_word_embeddings: true, clip_qkv: 1.5 },
  "llama, tied, fewer key heads, heads of their own size": {
    ...{ ...llama, tie_word_embeddings: true, head_dim: 8 },
  },
  "llama, one network in all layers": { ...llama, shared_mlp: true },
  gpt_neox: { ...neox, rotary_pct: 0.5 },
  "gpt_neox, one half after the other, tied": {
    ...{ ...neox, use_parallel_residual: false, tie_word_embeddings: true, rotary_pct: 1 },
  },
  "opt, norms after, narrower embedding": {
    ...{ ...opt, do_layer_norm_before: false, word_embed_proj_dim: 17 },
  },
  "opt, norms before, untied": { ...opt, tie_word_embeddings: false },
}
const inputs = [
  [1, 5, 9, 13, 7],
  [2, 6, 10, 14, 3],
]
const targets = [
  [5, 9, 13, 7, 30],
  [6, 10, 14, 3, 31],
]
const starts = [
  [0, 0, 0, 3, 3],
  [0, 0, 0, 0, 0],
]

/** One where no number comes to lie beside a kink of ReLU or of clipping, for a difference to step over. */
const seedOf = (fields: { model_type: string }): number => (fields.model_type === "opt" ? 3 : 2)

/** A seeded model, by js's numbers wherever it is. */
async function modelOn(backend: Backend, fields: { model_type: string }, from?: LanguageModel) {
  const config = parseConfig(fields, "x")
  const model = await LanguageModel.random(config, { backend, seed: seedOf(fields) })
  for (const [name, tensor] of from?.tensors ?? []) {
    const bytes = await (from as LanguageModel).backend.read(bufferOf(tensor), tensor.bytes)
    backend.write(bufferOf(model.tensors.get(name) ?? tensor), new Uint8Array(bytes))
  }
  return model
}

const options = { starts, zLoss: 1e-2 }

/** In the small part one build of wasm: families.test.ts has all. */
const others = allBackends.filter(
  ({ label }) => label !== "js" && (smallPart === undefined || !/ (1|3) thread/.test(label)),
)

/** Gradients in the layout of the backend, by name. */
async function gradientsOf(model: LanguageModel): Promise<Map<string, Float32Array>> {
  const { backend, config, tensors } = model
  const flat = (rows: number[][]) => constant(rows.flat(), [10], "i32")
  const batch = {
    tokens: flat(inputs),
    targets: flat(targets),
    starts: constant(starts.flat(), [2, 5], "i32"),
    count: constant([10], [1]),
    given: constant([0, 0], [2]),
  }
  const objective = objectives.crossEntropy({ zLoss: 1e-2 })
  const loss = { ignoreIndex: config.vocabSize, objective }
  const settings = { ...loss, checkpointActivations: false }
  const { decoder } = internals(model)
  const { gradients } = recordStep(decoder, tensors.values(), batch, settings)
  const wanted = [...tensors.values()].map((tensor) => gradients.get(tensor) as Tensor)
  const values = await readTensors(wanted, backend)
  return new Map([...tensors.keys()].map((name, i) => [name, values[i] as Float32Array]))
}

const directionAt = (i: number): number => 2 * uniformAt(9, i, 0, 0) - 1

for (const [name, fields] of Object.entries(variants)) {
  t.test(`gradients are finite differences: ${name}`, async (t) => {
    const backend = new JsBackend()
    await using model = await modelOn(backend, fields)
    const gradients = await gradientsOf(model)
    // Weights of a kind in all layers, moved at once.
    const kindOf = (weight: string): string => weight.replace(/\d+/, "i")
    for (const kind of new Set([...model.tensors.keys()].map(kindOf))) {
      const members = [...model.tensors].filter(([weight]) => kindOf(weight) === kind)
      const tensors = members.map(([, tensor]) => tensor)
      const before = (await readTensors(tensors, backend)) as Float32Array[]
      const move = (step: number) =>
        tensors.forEach((tensor, i) => {
          const values = before[i] as Float32Array
          backend.write(
            bufferOf(tensor),
            values.map((x, n) => x + step * directionAt(n)),
          )
        })
      const h = 3e-4
      const [high, low] = (await inTurn([h, -h], async (step) => {
        move(step)
        return (await lossAndGradients(model, inputs, targets, options)).loss
      })) as [number, number]
      move(0)
      const slope = (high - low) / (2 * h)
      const found = members.flatMap(([weight]) => [
        ...(gradients.get(weight) ?? []).map((g, n) => g * directionAt(n)),
      ])
      const wanted = found.reduce((sum, g) => sum + g, 0)
      const error = Math.abs(slope - wanted)
      t.ok(error < 2e-3 * (1 + Math.abs(wanted)), `${kind}: ${slope} for ${wanted}`)
    }
    backend.close()
  })

  for (const { label, open } of others) {
    t.test(`${label} agrees with js: ${name}`, async (t) => {
      const [js, backend] = [new JsBackend(), await open()]
      await using right = await modelOn(js, fields)
      await using model = await modelOn(backend, fields, right)
      const near = (got: ArrayLike<number>, want: ArrayLike<number>, what: string) => {
        const error = relativeError(got, want)
        t.ok(error < 2e-5, `${what} is off by ${error.toExponential(1)}`)
      }
      near(await model.logits(inputs), await right.logits(inputs), "logits")
      const want = await lossAndGradients(right, inputs, targets, options)
      const got = await lossAndGradients(model, inputs, targets, options)
      near([got.loss, got.ce, got.z], [want.loss, want.ce, want.z], "loss")
      for (const [each, values] of Object.entries(want.gradients)) {
        near(got.gradients[each] ?? [], values, each)
      }
      const tokens = await collect(right, [1, 5, 9], { maxNewTokens: 8 })
      t.same(await collect(model, [1, 5, 9], { maxNewTokens: 8 }), tokens, "greedy tokens")
      await js.close()
      await backend.close()
    })
  }
}

async function inTurn<T, R>(list: readonly T[], act: (each: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const each of list) results.push(await act(each))
  return results
}

t.test("OLMo-1B has the published number of parameters", (t) => {
  const published = {
    ...{ d_model: 2048, n_heads: 16, n_layers: 16, mlp_ratio: 8, mlp_hidden_size: null },
    ...{ embedding_size: 50304, vocab_size: 50280, weight_tying: true, eos_token_id: 50279 },
  }
  const config = parseConfig({ model_type: "olmo", ...published }, "config.json")
  t.equal(parameterCount(config), 1_176_764_416)
  t.same(parseConfig(configJson(config), "config.json"), config, "written and read again")
  t.end()
})
