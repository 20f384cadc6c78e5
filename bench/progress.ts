// What a long command says while it works.

/** Says what is being done, and how far it is. */
export type Report = (text: string, fraction?: number) => void

/** Progress on stderr, one line that is overwritten; nothing where no one watches. */
export function reporter(): Report & { done(): void } {
  const live = process.stderr.isTTY
  const report = (text: string, fraction?: number) => {
    if (!live) return
    const part = fraction === undefined ? "" : ` ${(100 * fraction).toFixed(0)} %`
    process.stderr.write(`\r\x1b[K${text}${part}`)
  }
  return Object.assign(report, { done: () => live && process.stderr.write("\r\x1b[K") })
}
