// Names of tensors as Hugging Face's Llama has them, and the families that follow it.
import type { Rows } from "../../architecture.ts"

const inLayer = (i: number, name: string): string => `model.layers.${i}.${name}.weight`

export const llamaNames = {
  embedding: "model.embed_tokens.weight",
  output: "lm_head.weight",
  qkv: (i: number, q: number, kv: number): Rows[] => [
    { name: inLayer(i, "self_attn.q_proj"), count: q },
    { name: inLayer(i, "self_attn.k_proj"), count: kv },
    { name: inLayer(i, "self_attn.v_proj"), count: kv },
  ],
  out: (i: number): string => inLayer(i, "self_attn.o_proj"),
  gateUp: (i: number, F: number): Rows[] => [
    { name: inLayer(i, "mlp.gate_proj"), count: F },
    { name: inLayer(i, "mlp.up_proj"), count: F },
  ],
  down: (i: number): string => inLayer(i, "mlp.down_proj"),
  attnNorm: (i: number): string => inLayer(i, "input_layernorm"),
  ffnNorm: (i: number): string => inLayer(i, "post_attention_layernorm"),
  norm: "model.norm.weight",
} as const
