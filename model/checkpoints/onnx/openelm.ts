// OpenELM as a graph of onnxruntime: ONNX's operators, and Microsoft's for attention with a cache, for
// RMSNorm with an addition and for quantized products. It reads T tokens after P that are in the caches, and
// gives the logits after the last.
import type { ModelConfig } from "../../architectures/openelm/config.ts"
import type { Node, Port, Whole } from "./encode.ts"

/** A tensor of the graph that is made of a published one, in the form of a product where it is a matrix. */
interface Weight {
  readonly name: string
  readonly form: "product" | "rows"
}

interface Built {
  readonly nodes: readonly Node[]
  readonly weights: readonly Weight[]
  readonly wholes: readonly Whole[]
  readonly inputs: readonly Port[]
  readonly outputs: readonly Port[]
}

/** Names of what a matrix in blocks is. */
export const blocksOf = (name: string) => ({ numbers: `${name}.numbers`, scales: `${name}.scales` })

/** Numbers that share a scale. */
export const blockSize = 32

/** Names of the tables of angles. */
export const tableNames = { cosines: "cosines", sines: "sines" } as const

class Builder {
  readonly nodes: Node[] = []
  readonly weights: Weight[] = []
  readonly wholes: Whole[] = []
  readonly #bits: 4 | 8 | undefined
  #count = 0

  constructor(bits: 4 | 8 | undefined) {
    this.#bits = bits
  }

  /** A node of one output: its name. */
  node(op: string, inputs: readonly string[], more: Partial<Node> = {}): string {
    const output = `${op}_out_${this.#count++}`
    this.nodes.push({ op, inputs, outputs: [output], ...more })
    return output
  }

  /** A constant list. */
  whole(...values: number[]): string {
    const name = `list_${values.join("_")}`
    if (!this.wholes.some((each) => each.name === name)) this.wholes.push({ name, values })
    return name
  }

  vector(name: string): string {
    this.weights.push({ name, form: "rows" })
    return name
  }

  /** x·Wᵀ.  x (T, K), W (N, K) → (T, N) */
  product(x: string, name: string, [N, K]: readonly [number, number]): string {
    this.weights.push({ name, form: "product" })
    if (!this.#bits) return this.node("Gemm", [x, name], { attributes: { transB: 1 } })
    const { numbers, scales } = blocksOf(name)
    // Level 4: rows rounded to bytes, as this engine does.
    const sizes = { K, N, bits: this.#bits, block_size: blockSize, accuracy_level: 4 }
    return this.node("MatMulNBits", [x, numbers, scales], { isMicrosoft: true, attributes: sizes })
  }

  /** RMSNorm over the last axis. */
  norm(x: string, name: string, eps: number): string {
    const attributes = { axis: -1, epsilon: { f32: eps } }
    return this.node("SimplifiedLayerNormalization", [x, this.vector(name)], { attributes })
  }

  /** x + y and its RMSNorm. */
  addNorm(x: string, y: string, name: string, eps: number): { sum: string; normed: string } {
    const [normed, sum] = [`normed_${this.#count}`, `sum_${this.#count++}`]
    this.nodes.push({
      op: "SkipSimplifiedLayerNormalization",
      isMicrosoft: true,
      inputs: [x, y, this.vector(name)],
      outputs: [normed, "", "", sum],
      attributes: { epsilon: { f32: eps } },
    })
    return { sum, normed }
  }

  split(x: string, ...sizes: number[]): string[] {
    const outputs = sizes.map((_, i) => `part_${this.#count}_${i}`)
    this.#count++
    const inputs = [x, this.whole(...sizes)]
    this.nodes.push({ op: "Split", inputs, outputs, attributes: { axis: 1 } })
    return outputs
  }
}

/** `bits`: of the matrices in blocks; without, all is f32. */
export function openelmGraph(config: ModelConfig, bits: 4 | 8 | undefined): Built {
  const { layers, modelDim: D, headDim: E, vocabSize: V, normEps: eps } = config
  const b = new Builder(bits)
  b.weights.push({ name: embedding, form: "rows" })
  const [inputs, outputs]: [Port[], Port[]] = [
    [
      { name: "input_ids", type: "i64", shape: ["T"] },
      { name: "last", type: "i32", shape: [1] },
      { name: "total", type: "i32", shape: [1] },
    ],
    [{ name: "logits", type: "f32", shape: [1, V] }],
  ]
  let x = b.node("Gather", [embedding, "input_ids"]) // (T, D)
  let a = b.norm(x, "layers.0.attn_norm.weight", eps) // (T, D)
  for (let i = 0; i < layers; i++) {
    const [H, G, F] = [config.queryHeads, config.keyHeads, config.ffnDims].map(
      (sizes) => sizes[i] as number,
    ) as [number, number, number]
    for (const kind of ["key", "value"]) {
      inputs.push({ name: `past.${i}.${kind}`, type: "f32", shape: [1, G, "P", E] })
      outputs.push({ name: `present.${i}.${kind}`, type: "f32", shape: [1, G, "S", E] })
    }
    const name = (rest: string) => `layers.${i}.${rest}.weight`
    const qkv = b.product(a, name("attn.qkv_proj"), [(H + 2 * G) * E, D]) // (T, (H + 2G)·E)
    const o = attention(b, qkv, i, [H, G, E], eps) // (T, H·E)
    const out = b.product(o, name("attn.out_proj"), [D, H * E]) // (T, D)
    const middle = b.addNorm(x, out, name("ffn_norm"), eps)
    const [g, v] = b.split(b.product(middle.normed, name("ffn.proj_1"), [2 * F, D]), F, F)
    const silu = { isMicrosoft: true, attributes: { alpha: { f32: 1 } } }
    const gated = b.node("Mul", [b.node("QuickGelu", [g as string], silu), v as string]) // (T, F)
    const y = b.product(gated, name("ffn.proj_2"), [D, F]) // (T, D)
    const next = i + 1 < layers ? `layers.${i + 1}.attn_norm.weight` : "norm.weight"
    const end = b.addNorm(middle.sum, y, next, eps)
    x = end.sum
    a = end.normed
  }
  const row = b.node("Gather", [a, b.whole(-1)]) // (1, D)
  const logits = b.product(row, embedding, [V, D]) // (1, V)
  b.nodes.push({ op: "Identity", inputs: [logits], outputs: ["logits"] })
  return { nodes: b.nodes, weights: b.weights, wholes: b.wholes, inputs, outputs }
}

const embedding = "token_embeddings.weight"

/** Heads normalized, rotated, written into the cache and attended. */
function attention(
  b: Builder,
  qkv: string,
  i: number,
  [H, G, E]: readonly [number, number, number],
  eps: number,
): string {
  const [q, k, v] = b.split(qkv, H * E, G * E, G * E) as [string, string, string]
  const heads = (x: string, name: string, count: number): string => {
    const rows = b.node("Reshape", [x, b.whole(-1, E)]) // (T·heads, E)
    const normed = b.norm(rows, `layers.${i}.attn.${name}.weight`, eps)
    return b.node("Reshape", [normed, b.whole(1, -1, count * E)]) // (1, T, heads·E)
  }
  const output = `attended_${i}`
  b.nodes.push({
    op: "GroupQueryAttention",
    isMicrosoft: true,
    inputs: [
      heads(q, "q_norm", H),
      heads(k, "k_norm", G),
      b.node("Reshape", [v, b.whole(1, -1, G * E)]),
      ...[`past.${i}.key`, `past.${i}.value`, "last", "total"],
      ...[tableNames.cosines, tableNames.sines],
    ],
    outputs: [output, `present.${i}.key`, `present.${i}.value`],
    attributes: { num_heads: H, kv_num_heads: G, do_rotary: 1, rotary_interleaved: 0 },
  })
  return b.node("Reshape", [output, b.whole(-1, H * E)]) // (T, H·E)
}
