// Families of one file: their gradients against finite differences, all backends against js, quantized
// weights against whole ones, in the variants that their configs have.
import t from "tap"
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
import { goldenBackends, relativeError } from "./backends.ts"
import { collect } from "./small.ts"

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
const variants = {
  "olmo, untied, fewer key heads": { ...olmo, num_key_value_heads: 2 },
  "olmo, tied, clipped": { ...olmo, tie_word_embeddings: true, clip_qkv: 1.5 },
  "llama, tied, fewer key heads, heads of their own size": {
    ...{ ...llama, tie_word_embeddings: true, head_dim: 8 },
  },
  "llama, one network in all layers": { ...llama, shared_mlp: true },
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

/** A seeded model, by js's numbers wherever it is. */
async function modelOn(backend: Backend, fields: object, from?: LanguageModel) {
  const model = await LanguageModel.random(parseConfig(fields, "x"), { backend, seed: 2 })
  for (const [name, tensor] of from?.tensors ?? []) {
    const bytes = await (from as LanguageModel).backend.read(bufferOf(tensor), tensor.bytes)
    backend.write(bufferOf(model.tensors.get(name) ?? tensor), new Uint8Array(bytes))
  }
  return model
}

const options = { starts, zLoss: 1e-2 }

/** Gradients in the layout of the backend, by name. */
async function gradientsOf(model: LanguageModel): Promise<Map<string, Float32Array>> {
  const { backend, config, tensors } = model
  const flat = (rows: number[][]) => constant(rows.flat(), [10], "i32")
  const batch = {
    tokens: flat(inputs),
    targets: flat(targets),
    starts: constant(starts.flat(), [2, 5], "i32"),
    count: constant([10], [1]),
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
    for (const [weight, tensor] of model.tensors) {
      const [before] = (await readTensors([tensor], backend)) as [Float32Array]
      const h = 3e-4
      const [high, low] = (await inTurn([h, -h], async (step) => {
        backend.write(
          bufferOf(tensor),
          before.map((x, i) => x + step * directionAt(i)),
        )
        return (await lossAndGradients(model, inputs, targets, options)).loss
      })) as [number, number]
      backend.write(bufferOf(tensor), before)
      const slope = (high - low) / (2 * h)
      const found = Array.from(gradients.get(weight) ?? [])
      const wanted = found.reduce((sum, g, i) => sum + g * directionAt(i), 0)
      const error = Math.abs(slope - wanted)
      t.ok(error < 2e-3 * (1 + Math.abs(wanted)), `${weight}: ${slope} for ${wanted}`)
    }
    backend.close()
  })

  for (const { label, open } of goldenBackends.filter(({ label }) => label !== "js")) {
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
