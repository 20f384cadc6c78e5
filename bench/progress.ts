// What a long command says while it works.
import { printable } from "./printable.ts"

/** Says what is being done, and how far it is. */
export type Report = (text: string, fraction?: number) => void

/** Progress on stderr, one line that is overwritten; nothing where no one watches. */
export function reporter(): Report & { done(): void } {
  const { stderr } = process
  const live = stderr.isTTY
  const report = (text: string, fraction?: number) => {
    if (!live) return
    const part = fraction === undefined ? "" : ` ${(100 * fraction).toFixed(0)} %`
    // A line that is folded would not be overwritten.
    const room = (stderr.columns || 80) - part.length - 1
    const line = printable(text).replace(/[\t\n]/g, " ")
    const short = line.length > room ? `${line.slice(0, Math.max(0, room - 1))}…` : line
    stderr.write(`\r\x1b[K${short}${part}`)
  }
  return Object.assign(report, { done: () => live && stderr.write("\r\x1b[K") })
}
