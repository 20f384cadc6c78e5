// Which of two tokenizers in a folder was read: commands say so, on the standard error.
import { type Tokenizer, tokenizersIn } from "../model/index.ts"
import { printable } from "./printable.ts"

export async function sayWhich(path: string, { file }: Tokenizer): Promise<void> {
  const others = (await tokenizersIn(path)).filter((name) => name !== file.name)
  if (others.length === 0) return
  console.error(printable(`read ${file.name} of ${path}, not ${others.join()}`))
}
