// What a batch does in one plan, and what is written before it runs or read after.
import type { Prepared, Tensor, Update } from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import type { Holder } from "../weights/holder.ts"
import { recordCopies, recordCopy, recordDecode, type SequenceState, statesOf } from "./state.ts"

/** Reads a token of every sequence and chooses the next ones, or gives their logits, or both; copies all
 *  caches, or one. */
export type Act = "token" | "logits" | "both" | "copy" | "share"

/** A plan, and what is written before it runs or read after. */
export interface Ready {
  readonly prepared: Prepared
  readonly held: Holder
  readonly given: Tensor | undefined // i32 (B)
  readonly logits: Tensor | undefined // (B, V)
  /** Memory that it takes. */
  readonly bytes: number
}

interface Sequences {
  readonly decoder: Decoder
  readonly states: SequenceState
  readonly size: number
}

interface Recorded extends Pick<Ready, "given" | "logits"> {
  readonly updates: Update[]
}

/** What is recorded of the first `of` sequences, or of the one that is copied to. */
export function recordAct(
  act: Act,
  of: number,
  { decoder, states, size }: Sequences,
  held: Holder,
): Recorded {
  if (act === "copy" || act === "share") {
    const given = held.allocate([act === "copy" ? size : 1], "i32")
    const updates = act === "copy" ? recordCopies(states, given) : recordCopy(states, given, of)
    return { updates, given, logits: undefined }
  }
  const V = decoder.config.vocabSize
  const logits = act === "token" ? undefined : held.allocate([of, V])
  const some = of === size ? states : statesOf(states, 0, of)
  const updates = recordDecode(decoder, some, logits, act !== "logits")
  return { updates, given: undefined, logits }
}
