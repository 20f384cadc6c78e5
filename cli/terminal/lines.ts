// The lines that a person types, or that a file or another program gives, one after the other.
import { createInterface } from "node:readline"
import { interrupt } from "./ending.ts"

export interface Lines {
  /** Whether a person types them. */
  readonly isTyped: boolean
  /** The next one; undefined at the end. At a terminal, after `prompt`. */
  next(prompt: string): Promise<string | undefined>
  close(): void
}

/** A line that ends with \ goes on with the next. What is typed early waits. */
export function linesOf(input: NodeJS.ReadStream, output: NodeJS.WriteStream): Lines {
  const isTyped = input.isTTY === true
  const reader = createInterface({ input, terminal: isTyped, ...(isTyped ? { output } : {}) })
  // In raw mode no signal comes of it.
  reader.on("SIGINT", interrupt)
  const iterator = reader[Symbol.asyncIterator]()
  const line = async (prompt: string): Promise<string | undefined> => {
    if (isTyped) {
      reader.setPrompt(prompt)
      reader.prompt()
    }
    const { value, done } = await iterator.next()
    return done ? undefined : value
  }
  return {
    isTyped,
    async next(prompt) {
      let text = await line(prompt)
      while (text?.endsWith("\\")) {
        const more = await line("… ")
        if (more === undefined) return text
        text = `${text.slice(0, -1)}\n${more}`
      }
      return text
    },
    close: () => reader.close(),
  }
}
