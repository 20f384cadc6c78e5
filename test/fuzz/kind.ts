// What a kind of file is to the fuzzer.
import { fileURLToPath } from "node:url"

export interface Kind {
  readonly name: string
  /** Names of the files that are changed. */
  readonly files: readonly string[]
  make(folder: string): void | Promise<void>
  use(folder: string): void | Promise<void>
}

export const root = fileURLToPath(new URL("../../..", import.meta.url))

/** Without the hooks that the runner of the tests has for its children. */
export const clean = { ...process.env, NODE_OPTIONS: "" }
