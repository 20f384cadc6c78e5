// Runs programs of Node, this package's command among them.
import { type ExecFileException, execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

/** The command. */
export const elm = fileURLToPath(new URL("../elm.js", import.meta.url))

export const performs = fileURLToPath(new URL("./performs.js", import.meta.url))

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs Node with arguments, and returns how that ended. */
export const node = (...args: string[]): Promise<Ended> => nodeIn(undefined, ...args)

export const nodeIn = (cwd: string | undefined, ...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd, timeout: 120_000 },
      (error: ExecFileException | null, stdout, stderr) => {
        const code = error ? Number(error.code ?? -1) : 0
        resolve({ code, stdout, stderr })
      },
    )
  })

/** Runs lines of the command one after the other in a process of their own, which costs what one of
 *  them does, and returns how each ended. For what is refused, or printed at once. */
export async function endsOf(
  lines: readonly (readonly string[])[],
  cwd?: string,
): Promise<Ended[]> {
  const { code, stdout, stderr } = await nodeIn(cwd, performs, JSON.stringify(lines))
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
