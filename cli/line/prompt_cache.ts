// --prompt-cache: keys and values of what was read before, in a file that the next call begins with.
import { existsSync } from "node:fs"
import type { LanguageModel, PromptCache } from "../../model/index.ts"
import { checkWritable } from "../terminal/files.ts"
import { path } from "./arguments.ts"
import { under, valued } from "./flags.ts"
import { headings } from "./options.ts"

export const promptCacheFlag = under(headings.text, {
  promptCache: valued(
    "<file>",
    "begin with the keys and values that are there, and leave those of this call",
    path,
  ),
})

/** What `work` gives with a prompt cache, which is read from the file before, where that is there, and
 *  written after. */
export async function withPromptCache<T>(
  model: LanguageModel,
  file: string | undefined,
  work: (cache: PromptCache) => Promise<T>,
): Promise<T> {
  if (file !== undefined) checkWritable(file)
  using cache = model.promptCache()
  if (file !== undefined && existsSync(file)) await cache.load(file)
  const result = await work(cache)
  if (file !== undefined) await cache.save(file)
  return result
}
