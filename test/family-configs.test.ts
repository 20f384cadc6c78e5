// config.json of families of one file: what is refused, naming file, field and value; and what is read back.

import { configJson, parseConfig } from "../model/index.ts"
import t from "./tap.ts"

const llama = {
  ...{ model_type: "llama", hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ intermediate_size: 64, vocab_size: 99 },
}
const neox = { ...llama, model_type: "gpt_neox", num_attention_heads: 3 }
const opt = { ...llama, model_type: "opt", ffn_dim: 64 }

const refused: readonly (readonly [object, string, string])[] = [
  [{ ...llama, rope_scaling: { type: "linear" } }, "RangeError", "rope_scaling is an object"],
  [{ ...llama, attention_bias: true }, "RangeError", "attention_bias is true, expected false"],
  [{ ...llama, hidden_act: "gelu" }, "RangeError", 'hidden_act is "gelu", expected "silu"'],
  [
    { ...llama, num_key_value_heads: 3 },
    "RangeError",
    "4 heads of 12, 3 of keys do not go together",
  ],
  [{ ...llama, head_dim: 11 }, "RangeError", "4 heads of 11"],
  [{ ...llama, num_attention_heads: 5 }, "RangeError", "width 48, 5 heads of 9.6"],
  [{ ...llama, tie_word_embeddings: "yes" }, "TypeError", 'tie_word_embeddings is "yes", expected'],
  [{ ...llama, rms_norm_eps: "1e-5" }, "TypeError", 'rms_norm_eps is "1e-5", expected a number'],
  [{ ...llama, vocab_size: undefined }, "TypeError", "vocab_size is missing, expected an integer"],
  [{ ...llama, bos_token_id: 99 }, "RangeError", "bos_token_id is 99"],
  [{ ...neox, hidden_act: "gelu_new" }, "RangeError", 'hidden_act is "gelu_new", expected "gelu"'],
  [{ ...neox, rotary_pct: 0.2 }, "RangeError", "3 heads of 16, of which 3 are rotated, do not go"],
  [{ ...neox, rotary_pct: 2 }, "RangeError", "rotary_pct is 2, expected a number from 0 to 1"],
  [{ ...neox, num_attention_heads: 5 }, "RangeError", "5 heads of 9.6"],
  [{ ...opt, activation_function: "gelu" }, "RangeError", 'activation_function is "gelu"'],
  [{ ...opt, enable_bias: false }, "RangeError", "enable_bias is false, expected true"],
  [{ ...opt, num_attention_heads: 16 }, "RangeError", "width 48, 16 heads do not go together"],
  [{ ...opt, ffn_dim: undefined }, "TypeError", "ffn_dim is missing, expected an integer"],
]

t.test("what a family does not run is refused, naming file, field and value", (t) => {
  for (const [fields, name, message] of refused) {
    t.throws(() => parseConfig(fields, "c.json"), {
      name,
      message: new RegExp(`^c\\.json: .*${message.replace(/[.*+?^$()[\]\\|]/g, "\\$&")}`),
    })
  }
  t.end()
})

t.test(
  "what is written of a config is read back, also where a share is no binary fraction",
  (t) => {
    const variants = [
      { ...llama, head_dim: 8, num_key_value_heads: 2, shared_mlp: true, eos_token_id: [2, 3] },
      // ⌊44·(30/44)⌋ is 29 in float64.
      { ...neox, hidden_size: 132, rotary_pct: 0.69, use_parallel_residual: false },
      { ...opt, word_embed_proj_dim: 24, do_layer_norm_before: false, tie_word_embeddings: false },
      { ...opt, _remove_final_layer_norm: true },
    ]
    for (const fields of variants) {
      const config = parseConfig({ ...fields, model_name: "made" }, "c.json")
      t.same(parseConfig(configJson(config), "c.json"), config)
    }
    t.end()
  },
)
