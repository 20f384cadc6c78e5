// The head of the model with its loss and its gradient, some rows at a time: logits of a vocabulary
// are never held for more rows than fit.
import { constant, type Tensor, vjpFrom } from "../../engine/index.ts"
import {
  add,
  broadcast,
  cast,
  crossEntropy,
  crossEntropyGrad,
  equal,
  matmulDequantizedGradX,
  matmulGradWAdd,
  matmulGradX,
  mean,
  panelWidth,
  reshape,
  slice,
  writeRows,
} from "../../ops/index.ts"
import type { BatchSizes, Objective, RowLosses } from "../objectives/index.ts"
import type { BatchTensors } from "./graph.ts"
import { product } from "./recorder.ts"

/** What is minimized, over which targets. */
export interface LossSettings {
  /** Targets of this id carry no loss. */
  readonly ignoreIndex: number
  readonly objective: Objective
}

interface HeadLoss {
  readonly loss: Tensor // (1)
  /** By the objective's names, (1) each. */
  readonly terms: Readonly<Record<string, Tensor>>
  readonly da: Tensor // (N, D)
  readonly dw: Tensor // (P, D, 16)
  /** What the objective reports of each sequence. */
  readonly sequences: readonly Tensor[] // (B) each
}

/** Logits that are held at a time: 64 MiB. */
const heldNumbers = 2 ** 24

/** Loss of logits = a·Wᵀ as the objective means it, and its gradients, over `count` targets: of more
 *  than these rows, where they are a part of a mean.
 *  a (N, D), w (P, D, 16) or quantized, targets i32 (N), count (1) */
export function headLoss(
  a: Tensor,
  w: Tensor,
  { targets, count, given }: Pick<BatchTensors, "targets" | "count" | "given">,
  sizes: BatchSizes,
  { ignoreIndex, objective }: LossSettings,
): HeadLoss {
  const { rowwise, labelSmoothing: smoothing } = objective
  const [N, D] = a.shape as [number, number]
  const ids = cast(targets, "f32") // (N)
  const ignored = equal(ids, constant([ignoreIndex], [1])) // (N)
  const blocks = blocksOf(N, sizes.V).map(({ at, rows }) => {
    const part = (x: Tensor): Tensor => (rows === N ? x : slice(x, 0, at, rows))
    const [x, t] = [part(a), cast(part(ids), "i32")] as const
    const logits = () => product(x, w, sizes.V) // (rows, V)
    const first = logits()
    const { nll, lse } = crossEntropy(first, t, { smoothing }) // (rows) each
    // The gradient takes the memory of the logits: those of other rows must be gone by then.
    const again = rowwise || rows === N ? first : logits()
    return {
      at,
      rows,
      x,
      t,
      logits: again,
      losses: {
        ...{ nll, lse, ignored: part(ignored), count, given },
        meanLogit: () => reshape(mean(first), [rows]),
      },
    }
  })
  const weighed = rowwise
    ? blocks.map(({ losses }) => weigh(losses, objective, sizes))
    : [weigh(joined(blocks, N, { ignored, count, given }), objective, sizes)]
  let da = broadcast(constant([0], [1]), [1, 1, N, D])
  let dw = broadcast(constant([0], [1]), [w.shape[0] as number, D, panelWidth])
  blocks.forEach(({ at, rows, x, t, logits, losses }, i) => {
    const all = weighed[rowwise ? i : 0] as Weighed
    const part = (d: Tensor): Tensor => (d.size === rows ? d : slice(d, 0, at, rows))
    const [dnll, dlse] = [part(all.dnll), part(all.dlse)] as const // (rows) each
    const dlogits = crossEntropyGrad(logits, t, losses.lse, dnll, dlse, { smoothing }) // (rows, V)
    const dx = isQuantized(w)
      ? matmulDequantizedGradX(dlogits, w, { K: D })
      : matmulGradX(dlogits, w) // (rows, D)
    dw = matmulGradWAdd(dlogits, x, dw)
    da = rows === N ? dx : writeRows(da, reshape(dx, [1, 1, rows, D]), constant([at], [1], "i32"))
  })
  const terms = Object.fromEntries(
    objective.terms.map((name) => [
      name,
      weighed.map((each) => each.terms[name] as Tensor).reduce((x, y) => add(x, y)),
    ]),
  )
  const loss = Object.values(terms).reduce(add)
  return { loss, terms, da: reshape(da, [N, D]), dw, sequences: weighed[0]?.sequences ?? [] }
}

const isQuantized = ({ dtype }: Tensor): boolean => dtype === "u8"

function blocksOf(N: number, V: number): { at: number; rows: number }[] {
  const most = Math.ceil(N / Math.ceil((N * V) / heldNumbers))
  return Array.from({ length: Math.ceil(N / most) }, (_, i) => ({
    at: i * most,
    rows: Math.min(most, N - i * most),
  }))
}

interface Weighed {
  readonly terms: Readonly<Record<string, Tensor>>
  readonly dnll: Tensor
  readonly dlse: Tensor
  readonly sequences: readonly Tensor[] // (B) each
}

/** The terms of rows, and the cotangents of their losses. */
function weigh(rows: RowLosses, objective: Objective, sizes: BatchSizes): Weighed {
  const found = objective.loss(rows, sizes)
  const terms = Object.fromEntries(
    objective.terms.map((name) => [name, reshape(found[name] as Tensor, [1])]),
  )
  const one = constant([1], [1])
  const { nll, lse } = rows
  const outputs = Object.values(terms)
  const [dnll, dlse] = vjpFrom(
    [nll, lse],
    outputs,
    outputs.map(() => one),
  )
  const none = broadcast(constant([0], [1]), nll.shape)
  const all = objective.rowwise ? [] : (objective.sequences ?? [])
  const sequences = all.map((of) => of(rows, sizes))
  return { terms, dnll: dnll ?? none, dlse: dlse ?? none, sequences }
}

/** The losses of all blocks as those of N rows. */
function joined(
  blocks: readonly { at: number; rows: number; losses: RowLosses }[],
  N: number,
  rest: Omit<RowLosses, "nll" | "lse" | "meanLogit">,
): RowLosses {
  const all = (of: (losses: RowLosses) => Tensor): Tensor => {
    if (blocks.length === 1) return of((blocks[0] as (typeof blocks)[0]).losses)
    const rows = blocks.reduce(
      (sum, { at, rows, losses }) =>
        writeRows(sum, reshape(of(losses), [1, 1, rows, 1]), constant([at], [1], "i32")),
      broadcast(constant([0], [1]), [1, 1, N, 1]),
    )
    return reshape(rows, [N])
  }
  return {
    nll: all(({ nll }) => nll),
    lse: all(({ lse }) => lse),
    meanLogit: () => all((losses) => losses.meanLogit()),
    ...rest,
  }
}
