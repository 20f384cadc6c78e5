// What a long command says while it works.
import type { Report } from "../../bench/measure/report.ts"
import { printable } from "../../model/index.ts"
import { percent } from "./amounts.ts"

/** Columns of the terminal that another process shows this one's stderr in; 0 for none. */
let shownColumns = 0

/** Has progress shown where another process hands it on to a terminal of so many columns. */
export function showProgress(columns: number): void {
  shownColumns = columns
}

/** Progress on stderr, one line that is overwritten; nothing where no one watches. */
export function reporter(): Report & { done(): void } {
  const { stderr } = process
  const live = stderr.isTTY || shownColumns > 0
  const report = (text: string, fraction?: number) => {
    if (!live) return
    const part = fraction === undefined ? "" : ` ${percent(fraction)}`
    // A line that is folded would not be overwritten.
    const room = (stderr.columns || shownColumns || 80) - part.length - 1
    const line = printable(text).replace(/[\t\n]/g, " ")
    const short = line.length > room ? `${line.slice(0, Math.max(0, room - 1))}…` : line
    stderr.write(`\r\x1b[K${short}${part}`)
  }
  return Object.assign(report, { done: () => live && stderr.write("\r\x1b[K") })
}
