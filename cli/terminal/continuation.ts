// What a model makes of a prompt, on the standard output: token by token, or whole.
import {
  type CompleteOptions,
  type GenerateOptions,
  type LanguageModel,
  printable,
  threeDigits,
} from "../../model/index.ts"
import { bold } from "./colour.ts"
import { whileRunning } from "./ending.ts"

/** What was written. */
interface Written {
  readonly ids: readonly number[]
  /** How fast, in words. */
  readonly speed: string
}

// What a model writes may hold anything; programs get it as it is, a terminal what is safe.
const shown = (text: string): string => (process.stdout.isTTY ? printable(text) : text)

/** What `work` gives until somebody ends it; nothing more is written where nobody reads. */
async function untilEnded(
  work: (signal: AbortSignal) => Promise<void>,
  last: string,
): Promise<void> {
  const control = new AbortController()
  const { signal } = control
  let isClosed = false
  const done = whileRunning((reason) => {
    isClosed = reason === "closed"
    control.abort()
  })
  try {
    await work(signal)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    done()
  }
  if (!isClosed) process.stdout.write(last)
}

/** Writes the text as it comes. */
export async function streamed(
  model: LanguageModel,
  prompt: string,
  options: GenerateOptions,
): Promise<Written> {
  const start = performance.now()
  let first = start
  const ids: number[] = []
  let output = bold(shown(prompt))
  await untilEnded(async (signal) => {
    for await (const { id, text } of model.generate(prompt, { ...options, signal })) {
      ids.push(id)
      if (ids.length === 1) first = performance.now()
      process.stdout.write(output + shown(text))
      output = ""
    }
  }, "\n")
  const rate = ids.length > 1 ? (1000 * (ids.length - 1)) / (performance.now() - first) : 0
  const after = (first - start).toFixed(0)
  return { ids, speed: `${threeDigits(rate)} tokens/s; first after ${after} ms` }
}

/** Writes whole continuations, with an empty line between them, or one a line as JSON. */
export async function completed(
  model: LanguageModel,
  prompt: string,
  options: CompleteOptions,
  isJson: boolean,
): Promise<Written> {
  const start = performance.now()
  const ids: number[] = []
  let count = 0
  await untilEnded(async (signal) => {
    const all = await model.complete([prompt], { ...options, signal })
    const texts = all.map((each) => bold(shown(prompt)) + shown(each.text))
    const lines = all.map((each) => JSON.stringify({ prompt, ...each }))
    process.stdout.write(`${(isJson ? lines : texts).join(isJson ? "\n" : "\n\n")}\n`)
    ids.push(...all.flatMap((each) => each.ids))
    count = all.reduce((sum, { usage }) => sum + usage.completionTokens, 0)
  }, "")
  const rate = (1000 * count) / (performance.now() - start)
  return { ids, speed: `${threeDigits(rate)} tokens/s` }
}
