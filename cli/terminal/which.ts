// Which of two tokenizers in a folder was read: commands say so, on the standard error.
import { downloading } from "../../bench/measure/report.ts"
import { loadTokenizer, printable, type Tokenizer, tokenizersIn } from "../../model/index.ts"
import { reporter } from "./progress.ts"

export async function sayWhich(path: string, { file }: Tokenizer): Promise<void> {
  const others = (await tokenizersIn(path)).filter((name) => name !== file.name)
  if (others.length === 0) return
  console.error(printable(`read ${file.name} of ${path}, not ${others.join()}`))
}

/** A tokenizer that a command was given, said to be read where there are two. */
export async function loadAndSay(path: string): Promise<Tokenizer> {
  const report = reporter()
  const tokenizer = await loadTokenizer(path, downloading(report)).finally(report.done)
  await sayWhich(path, tokenizer)
  return tokenizer
}
