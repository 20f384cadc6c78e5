// Sequences of tokens that never come: the last of one is ruled out where the others stand before it.
import { show } from "../../json.ts"
import type { Tokenizer } from "../../tokenizer/index.ts"
import { checkIdList } from "./check.ts"
import type { Processor, Vocabulary } from "./processor.ts"
import { biased } from "./sequence_bias.ts"

export const badWords: Processor<
  readonly (string | readonly number[])[],
  readonly (readonly number[])[]
> = {
  field: "bad_words_ids",
  help: "texts, or lists of ids, that never come",
  check(given, name, vocabulary) {
    const expected = "expected a list of texts and lists of token ids"
    if (!Array.isArray(given)) throw new TypeError(`${name} is ${show(given)}, ${expected}`)
    return given.flatMap((word: unknown) =>
      typeof word === "string"
        ? idsOf(word, name, vocabulary)
        : [checkIdList(`${name}: a word`, word, vocabulary)],
    )
  },
  change: (words) =>
    words.length === 0
      ? undefined
      : (scores, step) => {
          // A token that ends the text stays possible.
          const isEnd = ([id = -1, ...more]: readonly number[]) =>
            more.length === 0 && step.ends.includes(id)
          const bad = words.filter((word) => !isEnd(word))
          biased(bad.map((word) => [word, -Infinity] as const))(scores, step)
        },
}

/** The ids of a word by itself, and within a text. */
function idsOf(word: string, name: string, { tokenizer }: Vocabulary): number[][] {
  if (word === "") throw new RangeError(`${name} holds an empty text, which is everywhere`)
  if (!tokenizer) {
    throw new TypeError(
      `${name} holds the text ${show(word)}, and this model has no tokenizer. Give ids`,
    )
  }
  const alone = tokenizer.encode(word)
  const within = continued(word, tokenizer)
  return within && String(within) !== String(alone) ? [alone, within] : [alone]
}

/** The ids of a word right after other characters, where it is pieces of its own there. */
function continued(word: string, tokenizer: Tokenizer): number[] | undefined {
  for (const before of ["\n", "0"]) {
    const start = tokenizer.encode(before)
    const ids = tokenizer.encode(before + word)
    if (start.every((id, i) => ids[i] === id)) return ids.slice(start.length)
  }
  return undefined
}
