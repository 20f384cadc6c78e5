// Which of two tokenizers in a folder was read: commands say so, on the standard error.
import { loadTokenizer, printable, type Tokenizer, tokenizersIn } from "../../model/index.ts"

export async function sayWhich(path: string, { file }: Tokenizer): Promise<void> {
  const others = (await tokenizersIn(path)).filter((name) => name !== file.name)
  if (others.length === 0) return
  console.error(printable(`read ${file.name} of ${path}, not ${others.join()}`))
}

/** A tokenizer that a command was given, said to be read where there are two. */
export async function loadAndSay(path: string): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(path)
  await sayWhich(path, tokenizer)
  return tokenizer
}
