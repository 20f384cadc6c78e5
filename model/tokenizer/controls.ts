// Texts of control tokens, where whoever asks wants them to make those: "</s>" as one token. The parts of a
// text between them are texts of their own, each with the space that begins one.
import { splitterOf } from "./added.ts"

type Append = (text: string, out: number[]) => void

/** Appends the ids of a text in which the texts of `controls` make their tokens. */
export function aroundControls(controls: ReadonlyMap<string, number>, append: Append): Append {
  const tokens = [...controls].map(([content, id]) => {
    const plain = { normalized: false, singleWord: false, lstrip: false, rstrip: false }
    return { id, content, special: true, ...plain }
  })
  const split = splitterOf(tokens, ({ content }) => content)
  if (!split) return append
  return (text, out) => {
    for (const { id, start, end } of split(text, true)) {
      if (id >= 0) out.push(id)
      else append(text.slice(start, end), out)
    }
  }
}
