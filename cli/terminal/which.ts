// Which of two tokenizers in a folder was read: commands say so, on the standard error.
import { downloading } from "../../bench/measure/report.ts"
import { loadTokenizer, printable, type Tokenizer, tokenizersIn } from "../../model/index.ts"
import { reporter } from "./progress.ts"

export async function sayWhich(path: string, { file, files }: Tokenizer): Promise<void> {
  const read = files?.keys().next().value ?? file.name
  // A vocab.json beside another says the same, as models are published.
  const others = (await tokenizersIn(path)).filter((name) => !["vocab.json", read].includes(name))
  if (others.length === 0) return
  console.error(printable(`read ${read} of ${path}, not ${others.join()}`))
}

/** A tokenizer that a command was given, said to be read where there are two. */
export async function loadAndSay(path: string): Promise<Tokenizer> {
  const report = reporter()
  const tokenizer = await loadTokenizer(path, downloading(report)).finally(report.done)
  await sayWhich(path, tokenizer)
  return tokenizer
}
