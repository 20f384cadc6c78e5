// Generation with drafts: a round guesses some tokens, reads the last one and all guesses in one run, and
// goes on after those that hold.
import { type Draft, type Drafter, type DraftRound, holds, noise, remainder } from "./draft.ts"
import type { Begun, Token } from "./generate.ts"
import { type Chosen, changed, chosenFrom, drawn, type HostChoice, stepOf } from "./host.ts"
import { softmax } from "./processors/probabilities.ts"
import type { Step } from "./processors/processor.ts"
import { Sequence } from "./sequence.ts"
import type { Session } from "./session.ts"

/** What a round is about. */
interface Round {
  readonly rows: Float32Array // (K + 1, V)
  readonly draft: Draft
  readonly step: Step & { readonly ids: number[] }
  readonly options: Begun
  readonly host: HostChoice
  readonly drawing: Sequence["drawing"]
}

/** As `run`, with tokens that `drafter` guesses. */
export async function* runDrafted(
  session: Session,
  prompt: readonly number[],
  options: Begun,
  host: HostChoice,
  textOf: (id: number, isLast: boolean) => string,
  drafter: Drafter,
  onRound: (round: DraftRound) => void = () => undefined,
): AsyncGenerator<Token, void, undefined> {
  const { maxNewTokens, signal, lost, promptLength, from } = options
  signal?.throwIfAborted()
  if (maxNewTokens === 0) return
  const sequence = new Sequence(session, { ...options, length: from })
  sequence.sampleBy(options, lost)
  const longest = prompt.length + maxNewTokens
  const ids = [...prompt]
  const step = { ...stepOf(ids, promptLength, options), ids, longest }
  await sequence.append(prompt.slice(from, -1), "nothing")
  for (let isLast = false; !isLast; ) {
    const { planned } = drafter
    const guessed = await drafter.propose(step, longest - ids.length)
    const draft = { ...guessed, ids: guessed.ids.slice(0, sequence.room - 1) }
    const rows = await sequence.logits([ids.at(-1) as number, ...draft.ids], "rows")
    const tokens = verified({ rows, draft, step, options, host, drawing: sequence.drawing })
    sequence.rewind(sequence.length - draft.ids.length + tokens.length - 1)
    const round = {
      drafted: draft.ids.length,
      accepted: tokens.length - 1,
      ...(planned === undefined ? {} : { planned }),
    }
    drafter.told(round)
    onRound(round)
    for (const [i, chosen] of tokens.entries()) {
      isLast = i === tokens.length - 1 && isEnd(step, options)
      yield { ...chosen, text: textOf(chosen.id, isLast) }
    }
  }
}

const isEnd = ({ ids, longest }: Step, { stop }: Begun): boolean =>
  ids.length === longest || stop.includes(ids.at(-1) as number)

/** The drafts that hold, and one token more; all of them are added to the step's ids. */
function verified(round: Round): Chosen[] {
  const { rows, draft, step, options, host, drawing } = round
  const { temperature } = options
  const V = rows.length / (draft.ids.length + 1)
  const tokens: Chosen[] = []
  for (let i = 0; ; i++) {
    const row = rows.subarray(i * V, (i + 1) * V)
    const q = draft.probabilities?.[i]
    const choose =
      q && !host.sampler ? () => heldOrDrawn(row, draft.ids[i] as number, q, round) : undefined
    const at = step.ids.length - drawing.dropped
    const chosen = chosenFrom(row, step, { temperature, seed: drawing.seed, at }, host, choose)
    tokens.push(chosen)
    step.ids.push(chosen.id)
    if (chosen.id !== draft.ids[i] || isEnd(step, options)) return tokens
  }
}

/** The guess, which was drawn from q, where it holds; else another token. */
function heldOrDrawn(
  row: Float32Array,
  guess: number,
  q: Float64Array,
  { step, options, host }: Round,
): number {
  const { seed } = options
  const position = step.ids.length
  const p = softmax(changed(row, host.changes, step))
  const isHeld = holds(p[guess] as number, q[guess] as number, noise.accept(seed, position))
  if (isHeld) return guess
  return drawn(remainder(p, q).map(Math.log), noise.replace(seed, position))
}
