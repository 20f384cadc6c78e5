// Sizes, their derivation and the config.json format, against the original's numbers.
import { readFileSync } from "node:fs"
import {
  configJson,
  configOf,
  modelNames,
  parameterCount,
  parseConfig,
  scaledConfig,
  tensorShapes,
} from "../model/index.ts"
import { parseJson } from "../model/json.ts"
import t from "./tap.ts"

const fixture = (path: string) =>
  JSON.parse(readFileSync(new URL(`../../test/fixtures/${path}`, import.meta.url), "utf8"))
const released: Record<string, Record<string, number | number[]>> = fixture(
  "ops/released_model_dims.json",
)
const tiny: Record<string, unknown> = fixture("model/config.json")
const derived = tiny.derived as Record<string, number[]>
const parse = (changes: Record<string, unknown>) => parseConfig({ ...tiny, ...changes }, "c.json")

t.test("configOf gives the sizes of every released model exactly", async (t) => {
  t.equal(Object.keys(released).length, modelNames.length)
  for (const [name, dims] of Object.entries(released)) {
    const config = configOf(name)
    t.equal(config.name, name)
    t.equal(config.layers, dims.layers)
    t.equal(config.modelDim, dims.model_dim)
    t.equal(config.headDim, dims.head_dim)
    t.same(config.queryHeads, dims.q)
    t.same(config.keyHeads, dims.kv)
    t.same(config.ffnDims, dims.ffn)
    t.equal(parameterCount(config), dims.total_vocab32000)
    t.equal(parameterCount(configOf(name, { vocabSize: 32128 })), dims.total_vocab32128)
  }
})

t.test("configOf takes every spelling and lists the sizes for an unknown one", async (t) => {
  for (const name of ["1.1B", "1.1b", "1_1B", "OpenELM-1_1B", "openelm-1.1b"]) {
    t.same(configOf(name), configOf("1.1B"))
  }
  for (const name of ["7B", "", "__proto__", "constructor", "OpenELM-", "270M "]) {
    t.throws(() => configOf(name), {
      name: "RangeError",
      message: `No model size "${name}". Known sizes: 270M, 450M, 1.1B, 3B`,
    })
  }
})

t.test("parseConfig derives the tiny model's sizes exactly", async (t) => {
  const config = parseConfig(tiny, "config.json")
  t.same(config.queryHeads, derived.num_query_heads)
  t.same(config.keyHeads, derived.num_kv_heads)
  t.same(config.ffnDims, derived.ffn_dims)
  t.match(config, { name: "tiny-a", vocabSize: 128, maxContext: 64, paddingIndex: 125, bosId: 1 })
  t.equal(parameterCount(config), 96560)
})

t.test("pad_token_id is no padding index: every id of a Hugging Face folder counts", async (t) => {
  for (const pad of [0, 2, 127, -1, 500, "2", null]) {
    const { padding_index, ...rest } = tiny
    t.equal(padding_index, 125)
    t.notOk("paddingIndex" in parseConfig({ ...rest, pad_token_id: pad }, "c.json"), `${pad}`)
    t.equal(
      parseConfig({ ...tiny, pad_token_id: pad }, "c.json").paddingIndex,
      125,
      "its own stays",
    )
  }
  const saved = configJson(parseConfig(tiny, "c.json"))
  t.match(saved, { padding_index: 125, pad_token_id: undefined })
})

t.test("parseConfig reads per-layer lists, as Hugging Face stores them", async (t) => {
  for (const [name, { q, kv, ffn_mult }] of Object.entries(released)) {
    const { model_name, ...rest } = configJson(configOf(name))
    const stored: Record<string, unknown> = {
      ...rest,
      num_query_heads: q,
      num_kv_heads: kv,
      ffn_multipliers: ffn_mult,
    }
    const config = parseConfig(stored, `models/${model_name}/config.json`)
    t.same(config, { ...configOf(name), ffnMultipliers: ffn_mult })
    const { qkv_multipliers, ...heads } = stored
    t.ok(qkv_multipliers)
    t.same(parseConfig(heads, "config.json").queryHeads, q, "heads alone decide")
  }
})

t.test("parseConfig takes one multiplier for all layers without rounding it", async (t) => {
  const config = parse({ qkv_multipliers: 1, ffn_multipliers: 2.6667 })
  t.same(config.queryHeads, [4, 4, 4, 4])
  t.same(config.ffnDims, [128, 128, 128, 128])
})

t.test("configJson and parseConfig are inverse", async (t) => {
  const variants = [
    ...modelNames.map((name) => configOf(name)),
    parseConfig(tiny, "config.json"),
    scaledConfig({ layers: 1, modelDim: 33, headDim: 2, vocabSize: 3, queryHeadsPerKeyHead: 1 }),
    scaledConfig({ layers: 2, modelDim: 64, headDim: 8, ffnMultipliers: 1 / 3, paddingIndex: 0 }),
    scaledConfig({
      layers: 3,
      modelDim: 96,
      headDim: 8,
      qkvMultipliers: [1, 2, 0.5],
      normEps: 1e-5,
    }),
  ]
  for (const config of variants) {
    const text = new TextEncoder().encode(JSON.stringify(configJson(config), null, 2))
    t.same(parseConfig(parseJson(text, "config.json"), "config.json"), config)
  }
})

t.test("tensorShapes has the names, order and shapes of the original state dict", async (t) => {
  const bytes = readFileSync(
    new URL("../../test/fixtures/model/weights.safetensors", import.meta.url),
  )
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { shape?: number[] }
  >
  const stored = Object.entries(header).filter(([name]) => name !== "__metadata__")
  const shapes = tensorShapes(parseConfig(tiny, "config.json"))
  t.same(
    [...shapes].map(([name, { shape }]) => [name, shape]),
    stored.map(([name, { shape }]) => [name, shape]),
  )
  t.equal(shapes.get("layers.0.ffn.proj_1.weight")?.kind, "gated")
  t.equal(shapes.get("token_embeddings.weight")?.kind, "embedding")
  t.equal(shapes.get("norm.weight")?.kind, "vector")
})

const refusals: readonly [Record<string, unknown>, string, string][] = [
  [{ model_type: "mamba" }, "RangeError", 'c.json: model_type is "mamba", expected "openelm"'],
  [{ share_input_output_layers: false }, "RangeError", "share_input_output_layers is false"],
  [{ normalize_qk_projections: false }, "RangeError", "normalize_qk_projections is false"],
  [{ ffn_with_glu: false }, "RangeError", "ffn_with_glu is false, expected true"],
  [{ activation: "gelu" }, "RangeError", 'activation is "gelu", expected "silu" or "swish"'],
  [{ activation_fn_name: "relu" }, "RangeError", 'activation_fn_name is "relu"'],
  [{ normalization_layer_name: "layer_norm" }, "RangeError", 'expected "rms_norm"'],
  [{ quantization: { bits: 4 } }, "RangeError", 'expected {"format": "q8"} or {"format": "q4"}'],
  [{ quantization: { format: "q5" } }, "RangeError", "quantization is"],
  [{ quantization: { format: "q4", bits: 4 } }, "RangeError", "quantization is"],
  [{ quantization: ["q4"] }, "RangeError", "quantization is"],
  [{ quantization: "q4" }, "RangeError", "quantization is"],
  [{ quantization_config: { format: "q4" } }, "RangeError", "quantization_config is an object"],
  [{ model_dim: undefined }, "TypeError", "c.json: model_dim is missing, expected an integer"],
  [{ vocab_size: null }, "TypeError", "vocab_size is missing"],
  [{ num_gqa_groups: undefined }, "TypeError", "num_gqa_groups is missing"],
  [{ ffn_multipliers: undefined }, "TypeError", "ffn_multipliers is missing, expected a number"],
  [{ qkv_multipliers: undefined }, "TypeError", "qkv_multipliers is missing"],
  [{ model_dim: "48" }, "TypeError", 'model_dim is "48", expected an integer from 1 to 65536'],
  [{ model_dim: 48.5 }, "RangeError", "model_dim is 48.5, expected an integer from 1 to 65536"],
  [{ model_dim: 0 }, "RangeError", "model_dim is 0"],
  [{ model_dim: 1e9 }, "RangeError", "model_dim is 1000000000"],
  [{ num_transformer_layers: 1e7 }, "RangeError", "num_transformer_layers is 10000000"],
  [{ num_transformer_layers: -1 }, "RangeError", "num_transformer_layers is -1"],
  [{ vocab_size: 2 ** 31 }, "RangeError", "vocab_size is 2147483648"],
  [{ head_dim: 15 }, "RangeError", "head_dim is 15, expected an even number"],
  [{ rope_freq_constant: 0 }, "RangeError", "rope_freq_constant is 0"],
  [{ rms_norm_eps: -1 }, "RangeError", "rms_norm_eps is -1"],
  [{ rms_norm_eps: 1e-46 }, "RangeError", "rms_norm_eps is 1e-46, expected 0 or from 1.2e-38"],
  [{ ffn_multipliers: [0.5, 1, 4] }, "RangeError", "expected a number, [first, last] or 4 numbers"],
  [{ ffn_multipliers: [0.5, "4"] }, "TypeError", 'ffn_multipliers is [0.5, "4"]'],
  [{ ffn_multipliers: [0.5, -4] }, "RangeError", "each above 0"],
  [{ ffn_multipliers: [0.5, 1e6] }, "RangeError", "a layer is wider than 1048576"],
  [{ qkv_multipliers: {} }, "TypeError", "qkv_multipliers is an object"],
  [{ padding_index: 128 }, "RangeError", "padding_index is 128, expected an id below the 128"],
  [{ eos_token_id: [] }, "RangeError", "eos_token_id is [], expected an id or a list of ids"],
  [
    { eos_token_id: [1, "2"] },
    "TypeError",
    'eos_token_id is [1, "2"], expected an integer or a list',
  ],
  [
    { eos_token_id: [1, 500] },
    "RangeError",
    "eos_token_id is [1, 500], expected an id below the 128",
  ],
  [{ bos_token_id: 500 }, "RangeError", "bos_token_id is 500, expected an id below the 128"],
  [{ model_name: 3 }, "TypeError", "model_name is 3"],
  [{ num_query_heads: [2, 2, 4, 8] }, "RangeError", "give [2, 2, 4, 4] (layer 3: 4)"],
  [{ num_query_heads: [2, 2, 4, 4, 4] }, "RangeError", "num_query_heads is [2, 2, 4, 4, 4]"],
  [{ num_kv_heads: [2, 2, 4, 4] }, "RangeError", "(layer 0: 1)"],
]

t.test("a list of ends stays one, its first the end of the text", async (t) => {
  const config = parse({ eos_token_id: [5, 2, 5] })
  t.match(config, { eosId: 5, eosIds: [5, 2] })
  t.same(configJson(config).eos_token_id, [5, 2])
  t.same(parseConfig(configJson(config), "c.json"), config)
  t.notOk("eosIds" in parse({ eos_token_id: 5 }))
  t.match(scaledConfig({ layers: 1, modelDim: 32, headDim: 16, eosIds: [7, 8] }), { eosId: 7 })
})

t.test("parseConfig refuses what it cannot run, naming file, field and value", async (t) => {
  for (const [changes, name, message] of refusals) {
    const error = caught(() => parse(changes))
    t.equal(error.name, name, message)
    t.ok(error.message.includes(message), error.message)
    t.ok(error.message.startsWith("c.json: "), error.message)
  }
  for (const json of [null, [], 3, "x", undefined]) {
    t.throws(() => parseConfig(json, "c.json"), { name: "TypeError", message: /^c\.json is / })
  }
})

t.test("scaledConfig names its own fields when it refuses", async (t) => {
  t.throws(() => scaledConfig({ layers: 0, modelDim: 8, headDim: 8 }), {
    message: "config: layers is 0, expected an integer from 1 to 1024",
  })
  t.throws(() => scaledConfig({ layers: 2, modelDim: 8, headDim: Number.NaN }), {
    message: "config: headDim is NaN, expected an integer from 2 to 1024",
  })
})

function caught(act: () => unknown): Error {
  try {
    act()
  } catch (error) {
    return error as Error
  }
  return new Error("nothing was thrown")
}
