// An adapter folded into the weights that it stands beside.
import { runOnce, type Tensor } from "../../engine/index.ts"
import { add, matmul, mul, pack, unpack } from "../../ops/index.ts"
import { isQuantized } from "../checkpoints/quantized_format.ts"
import { internals, type LanguageModel } from "../language_model.ts"
import { type Adapter, adapterInternals } from "./adapter.ts"
import type { TablePart } from "./parts.ts"
import { wholeRows } from "./recorder.ts"
import { joined } from "./shares.ts"

/** What becomes of a table's adapter where the same table gives the logits. */
export interface MergeOptions {
  /** Such an adapter alters what goes in and not what comes out: "refuse" it (default), "drop" it, or "keep" it
   *  beside the merged weights. */
  readonly tied?: "refuse" | "drop" | "keep"
}

/** W + s·B·A, or its rows by magnitudes over norms, in place of every W; the adapter is closed then, but for
 *  what is kept of it. Throws RangeError for quantized weights, which would be rounded once more, and for a
 *  table that also gives the logits. */
export async function merge(
  model: LanguageModel,
  adapter: Adapter,
  { tied = "refuse" }: MergeOptions = {},
): Promise<void> {
  const {
    parts,
    listed,
    moved,
    restart,
    isTied: sharesHead,
  } = adapterInternals(adapter, model.tensors)
  const { backend, dtype } = model
  if (isQuantized(dtype)) {
    throw new RangeError(
      `mergeAdapter: weights in ${dtype} would be rounded a second time. Load the model in f32 or bf16`,
    )
  }
  const embedding = listed.find(({ module }) => module.isTable)
  const isTied = sharesHead && embedding !== undefined
  if (isTied && tied === "refuse") {
    throw new RangeError(
      `mergeAdapter: ${embedding?.module.name} also gives the logits, which its adapter leaves as they ` +
        'are. Merge with { tied: "drop" } without that part, or with { tied: "keep" } the others alone',
    )
  }
  await internals(model).training(async () => {
    for (const [weight, part] of parts.linears) {
      await runOnce(backend, [[weight, packed(wholeRows(joined(part)), part.halves, weight)]])
    }
    for (const [weight, part] of isTied ? [] : parts.tables) {
      await runOnce(backend, [[weight, packed(tableRows(weight, part), 1, weight)]])
    }
  })
  if (isTied && tied === "keep") {
    await restart()
    moved()
  } else await adapter.close()
}

const packed = (rows: Tensor, Halves: number, { shape, dtype }: Tensor): Tensor =>
  pack(rows, { P: shape[0] as number, Halves, dtype: dtype as "f32" | "f16" | "bf16" }).w

/** E + s·(B·A)ᵀ.  → (V, D) */
function tableRows(weight: Tensor, { a, b, scale }: TablePart): Tensor {
  const [N, K] = [a.outputs, b.outputs]
  const low = matmul(unpack(a.weight, { N, K: a.inputs, Halves: 1, dtype: "f32" }), b.weight, {
    N: K,
  })
  return add(unpack(weight, { N, K, Halves: 1, dtype: "f32" }), mul(low, scale))
}
