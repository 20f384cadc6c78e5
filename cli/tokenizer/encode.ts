// `elm tokenizer encode`: the ids that a tokenizer makes of a text.

import { command } from "../line/command.ts"
import { positional, toggle } from "../line/flags.ts"
import { tokenizer } from "../line/options.ts"
import { standardInput } from "../terminal/files.ts"
import { loadAndSay } from "../terminal/which.ts"

export const encode = command({
  name: "encode",
  description: "print the token ids of a text",
  arguments: [positional("<text>", 'the text, or "-" to read it from the standard input')],
  flags: { tokenizer, bos: toggle("begin with the BOS token") },
  async run({ tokenizer, bos = false }, { args: [text] }) {
    const { encode } = await loadAndSay(tokenizer)
    console.log(encode(text === "-" ? await standardInput() : text, { bos }).join(" "))
  },
})
