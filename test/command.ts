// Runs programs of Node, this package's command among them.
import { type ExecFileException, execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

/** The command. */
export const elm = fileURLToPath(new URL("../elm.js", import.meta.url))

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs Node with arguments, and returns how that ended. */
export const node = (...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { timeout: 120_000 },
      (error: ExecFileException | null, stdout, stderr) => {
        const code = error ? Number(error.code ?? -1) : 0
        resolve({ code, stdout, stderr })
      },
    )
  })
