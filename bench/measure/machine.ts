// The machine a benchmark ran on, and the memory that it took.
import { readFileSync, writeFileSync } from "node:fs"
import { arch, cpus, platform, release, totalmem } from "node:os"

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly os: string
  readonly runtime: string
}

export function machine(): Machine {
  const list = cpus()
  return {
    cpu: `${list[0]?.model.trim() ?? "unknown"} (${arch()})`,
    cores: list.length,
    memoryBytes: totalmem(),
    os: `${platform()} ${release()}`,
    runtime: `node ${process.versions.node}, v8 ${process.versions.v8}`,
  }
}

/** Begins a new measurement of peak memory where the system allows it (Linux). */
export function resetPeakMemory(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5")
  } catch {
    // Elsewhere the peak is that of the whole process.
  }
}

/** Most bytes of this process that were resident at once. */
export function peakMemoryBytes(): number {
  try {
    const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))
    if (line) return Number(line[1]) * 1024
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024
}
