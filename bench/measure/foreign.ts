// How busy a machine was with other work while something was timed: the processors' time that neither
// idled nor went to this process.
import { cpus } from "node:os"

/** Milliseconds that all processors together were busy since the machine started. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}

/** Share of the foreign work above which a timing is marked. */
export const busyShare = 0.05

/** Begins to watch. The result gives the share of all processors' time since then that other work
 *  took, 0 … 1. */
export function watchForeign(): () => number {
  const [start, busy, own] = [performance.now(), busyMs(), process.cpuUsage()]
  return () => {
    const elapsed = (performance.now() - start) * cpus().length
    const { user, system } = process.cpuUsage(own)
    const others = busyMs() - busy - (user + system) / 1000
    return Math.min(1, Math.max(0, others / elapsed))
  }
}
