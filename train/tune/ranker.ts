// How a pairwise ranker is asked which of two answers is better: a text that goes on with A or B, and what its
// log-probabilities of these say.  Zhao et al. 2023, arXiv 2305.10425; Liu et al. 2023, arXiv 2309.06657
import { type ChatMessage, instructed, type Tokenizer } from "../../model/index.ts"
import { ignoredLabel, type Labelled } from "../preference/batch.ts"

/** Two answers to a conversation. */
interface Compared {
  readonly prompt: readonly ChatMessage[]
  readonly a: string
  readonly b: string
}

/** The same question with either answer: that A is better, and that B is. */
interface Asked {
  readonly a: Labelled
  readonly b: Labelled
}

/** The tokens of a question, of which the beginning is left out where all of it is too long. Throws RangeError
 *  where the answers alone are. */
export function asked({ prompt, a, b }: Compared, tokenizer: Tokenizer, most: number): Asked {
  const context = `[CONTEXT]\n${instructed(prompt, { isPart: true })}`
  const head = tokenizer.encode(context, { bos: tokenizer.bosId >= 0 })
  const tail = tokenizer.encode(`[RESPONSE A]\n${a}\n[RESPONSE B]\n${b}\n[BETTER]`)
  const room = most - tail.length - 1
  if (room < 0) {
    throw new RangeError(
      `the two answers have ${tail.length} tokens, beyond the ${most} of a ranker's text`,
    )
  }
  const ids = [...head.slice(Math.max(0, head.length - room)), ...tail]
  const [letterA, letterB] = ["A", "B"].map((letter) => tokenizer.encode(` ${letter}`).at(-1))
  if (letterA === undefined || letterB === undefined || letterA === letterB) {
    throw new RangeError("the tokenizer does not tell A from B, which a ranker answers with")
  }
  const labels = ids.map(() => ignoredLabel)
  const labelled = (letter: number): Labelled => ({
    ids: [...ids, letter],
    labels: [...labels, letter],
  })
  return { a: labelled(letterA), b: labelled(letterB) }
}
