// Opens the backend that a command is to run on, with everything that this runtime has.
import { type BackendName, type Feature, type OpenBackend, open } from "../../backends/index.ts"
import type { Described } from "../../bench/measure/described.ts"
import type { Report } from "../../bench/measure/report.ts"
import { printable } from "../../model/index.ts"
import { debug } from "../terminal/invocation.ts"
import { usageError } from "./arguments.ts"

/** What `machine` of options.ts gives, or a command that chooses for itself. */
export interface BackendFlags {
  readonly backend: BackendName
  readonly threads?: number
  /** Features of a GPU to leave off. */
  readonly without?: readonly Feature[]
  readonly revectorize: boolean
}

/** Throws CommanderError for features to leave off where there are none. */
export async function openFor(
  { backend, threads, without, revectorize }: BackendFlags,
  report?: Report,
): Promise<OpenBackend & Described> {
  if (without && backend !== "webgpu") {
    throw usageError(`--without is about a GPU: it needs --backend webgpu, got ${backend}`)
  }
  const onCompile = (done: number, all: number): void => report?.("compiling shaders", done / all)
  const opened: OpenBackend & Described = await open(backend, {
    revectorize,
    ...(threads === undefined ? {} : { threads }),
    ...(without ? { without } : {}),
    ...(report ? { onCompile } : {}),
  })
  if (debug && opened.tileRates) {
    const { narrow, wide } = opened.tileRates
    const rates = `${wide.toFixed(0)} GFLOP/s, narrow ones ${narrow.toFixed(0)}`
    console.error(printable(`256-bit tiles ${rates}: ${opened.build}`))
  }
  return opened
}

/** What `work` makes with a backend that is open for so long. */
export async function onBackend<T>(
  flags: BackendFlags,
  work: (backend: OpenBackend & Described) => Promise<T>,
): Promise<T> {
  await using backend = await openFor(flags)
  return await work(backend)
}
