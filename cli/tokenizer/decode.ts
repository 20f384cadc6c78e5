// `elm tokenizer decode`: the text of token ids.
import { InvalidArgumentError } from "commander"
import { printable } from "../../model/index.ts"
import { show } from "../../model/json.ts"
import { command } from "../line/command.ts"
import { positional } from "../line/flags.ts"
import { tokenizer } from "../line/options.ts"
import { loadAndSay } from "../terminal/which.ts"

/** Adds the ids of an argument, which may hold several: "1 2", "1,2". */
const tokenIds = (text: string, before: readonly number[] = []): readonly number[] => {
  const ids = text.split(/[\s,]+/).filter((id) => id !== "")
  const odd = ids.find((id) => !/^\d+$/.test(id))
  if (odd === undefined) return [...before, ...ids.map(Number)]
  throw new InvalidArgumentError(`Expected token ids, whole numbers from 0, got ${show(odd)}.`)
}

export const decode = command({
  name: "decode",
  description: "print the text of token ids",
  arguments: [positional("<ids...>", "token ids", tokenIds)],
  flags: { tokenizer },
  async run({ tokenizer }, { args: [ids] }) {
    const { decode, vocabSize } = await loadAndSay(tokenizer)
    const beyond = ids.find((id) => id >= vocabSize)
    if (beyond !== undefined) {
      throw new RangeError(`${tokenizer}: token ids lie in 0 … ${vocabSize - 1}, got ${beyond}`)
    }
    // Programs get the text as it is, a terminal what is safe.
    const text = decode(ids)
    console.log(process.stdout.isTTY ? printable(text) : text)
  },
})
