// The config.json of weights that come without one, or with the widths of their layers alone: which
// multipliers give these.
import { show } from "../../json.ts"
import { type ConfigSpec, scaledConfig } from "./config.ts"
import type { Multipliers } from "./scaling.ts"
import { releasedSizes } from "./sizes.ts"

/** Widths of a model, those of each layer as lists. */
interface Widths {
  readonly modelDim: number
  readonly headDim: number
  readonly vocabSize: number
  readonly queryHeads: readonly number[]
  readonly keyHeads: readonly number[]
  readonly ffnDims: readonly number[]
}

/** Rows of CoreNet's embedding, and the one of them that fills batches up. */
const corenetVocabulary = { size: 32128, paddingIndex: 32000 } as const

type Shapes = ReadonlyMap<string, readonly number[]>

/** What a config.json would say of tensors of these shapes; undefined where they are of others. Context,
 *  positions and eps are the released models'. Throws RangeError that names `source`. */
export function inferredConfig(
  shapes: Shapes,
  source: string,
): Record<string, unknown> | undefined {
  const rowsAndColumns = (name: string): readonly [number, number] => {
    const [rows = 0, columns = 0] = shapes.get(`${name}.weight`) ?? []
    return [rows, columns]
  }
  const [vocabSize, modelDim] = rowsAndColumns("token_embeddings")
  const [headDim] = rowsAndColumns("layers.0.attn.q_norm")
  if (vocabSize === 0 || modelDim === 0 || headDim === 0) return undefined
  const layers: string[] = []
  while (shapes.has(`layers.${layers.length}.attn.qkv_proj.weight`)) {
    layers.push(`layers.${layers.length}`)
  }
  const queryHeads = layers.map((at) => rowsAndColumns(`${at}.attn.out_proj`)[1] / headDim)
  const allHeads = layers.map((at) => rowsAndColumns(`${at}.attn.qkv_proj`)[0] / headDim)
  const keyHeads = allHeads.map((all, i) => (all - (queryHeads[i] as number)) / 2)
  const ffnDims = layers.map((at) => rowsAndColumns(`${at}.ffn.proj_2`)[1])
  const widths = { modelDim, headDim, vocabSize, queryHeads, keyHeads, ffnDims }
  const isPadded = vocabSize === corenetVocabulary.size
  return {
    ...configOfWidths(widths, source),
    ...(isPadded && { padding_index: corenetVocabulary.paddingIndex }),
  }
}

/** The fields of a config.json that give these widths. Throws RangeError that names `source` where there
 *  are none. */
export function configOfWidths(widths: Widths, source: string): Record<string, unknown> {
  const { modelDim, headDim, vocabSize, queryHeads, keyHeads, ffnDims } = widths
  const layers = queryHeads.length
  const [shared = 0] = queryHeads.map((heads, i) => heads / (keyHeads[i] as number))
  const sizes = [modelDim, headDim, vocabSize, layers, shared]
  const all = [...sizes, ...queryHeads, ...keyHeads, ...ffnDims]
  const isWhole = all.every((n) => Number.isSafeInteger(n) && n > 0 && n <= 2 ** 20)
  const isShared = keyHeads.every((heads, i) => heads * shared === queryHeads[i])
  const isUsual = Math.max(layers, headDim, shared) <= 1024 && modelDim <= 65536
  if (!isWhole || !isShared || !isUsual || headDim % 2 !== 0) throw misfit(widths, source)
  const found = specsOf(widths, shared).find((spec) => gives(spec, widths))
  if (!found) throw misfit(widths, source)
  return {
    ...(found.name && { model_name: found.name }),
    model_type: "openelm",
    num_transformer_layers: layers,
    model_dim: modelDim,
    head_dim: headDim,
    vocab_size: vocabSize,
    num_gqa_groups: shared,
    qkv_multipliers: found.qkvMultipliers,
    ffn_multipliers: found.ffnMultipliers,
    ffn_dim_divisor: found.ffnDivisor,
  }
}

const misfit = (widths: Widths, source: string): RangeError => {
  const { modelDim, headDim, vocabSize, queryHeads, keyHeads, ffnDims } = widths
  return new RangeError(
    `${source} has a vocabulary of ${vocabSize}, the width ${modelDim}, heads of ${headDim}, in its ` +
      `layers ${show(queryHeads)} query heads, ${show(keyHeads)} key heads and the feed-forward ` +
      `widths ${show(ffnDims)}: no OpenELM has these. Use another model, or put its config.json beside it`,
  )
}

/** Specs that may give the widths: that of a released size, then ranges, then a multiplier a layer. */
function specsOf({ modelDim, headDim, vocabSize, ...lists }: Widths, shared: number): ConfigSpec[] {
  const layers = lists.queryHeads.length
  const base = { modelDim, headDim, vocabSize, layers, queryHeadsPerKeyHead: shared }
  const released = [...releasedSizes.values()].filter(
    (size) => size.layers === layers && size.modelDim === modelDim && size.headDim === headDim,
  )
  const divisors = [256, lists.ffnDims.reduce(common)]
  const qkv = multipliersOf(lists.queryHeads.map((heads) => (heads * headDim) / modelDim))
  const ffn = multipliersOf(lists.ffnDims.map((width) => width / modelDim))
  const others = qkv.flatMap((qkvMultipliers) =>
    ffn.flatMap((ffnMultipliers) =>
      divisors.map((ffnDivisor) => ({ qkvMultipliers, ffnMultipliers, ffnDivisor })),
    ),
  )
  const usual = { qkvMultipliers: [0.5, 1], ffnMultipliers: [0.5, 4], ffnDivisor: 256 } as const
  const given = [...released.map(({ name }) => ({ ...usual, name: name as string })), ...others]
  return given.map((spec) => ({ ...base, ...ids(vocabSize), ...spec }))
}

/** Ids that a small vocabulary has, too. */
const ids = (vocabSize: number) => ({
  bosId: Math.min(1, vocabSize - 1),
  eosId: Math.min(2, vocabSize - 1),
})

/** One for all layers, a range, one for each. */
function multipliersOf(each: readonly number[]): Multipliers[] {
  const [first = 1] = each
  const last = each.at(-1) as number
  if (each.every((m) => m === first)) return [first]
  const hundredths = [first, last].map((m) => Math.round(100 * m) / 100)
  return each.length === 2 ? [hundredths, each] : [hundredths, [first, last], each]
}

const common = (a: number, b: number): number => (b === 0 ? a : common(b, a % b))

function gives(spec: ConfigSpec, { queryHeads, keyHeads, ffnDims }: Widths): boolean {
  const found = scaledConfig(spec)
  return (
    found.queryHeads.join() === queryHeads.join() &&
    found.keyHeads.join() === keyHeads.join() &&
    found.ffnDims.join() === ffnDims.join()
  )
}
