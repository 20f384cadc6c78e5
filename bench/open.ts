// Opens the backend of a benchmark with everything that this runtime has.
import { type BackendName, type Feature, type OpenBackend, open } from "../backends/index.ts"
import type { Plan } from "../engine/index.ts"
import { usageError } from "./arguments.ts"
import { debug } from "./debug.ts"
import { printable } from "./printable.ts"
import type { Report } from "./progress.ts"

export interface BackendFlags {
  readonly backend: BackendName
  readonly threads?: number
  /** Features of a GPU to leave off. */
  readonly without?: readonly Feature[]
  readonly revectorise: boolean
}

/** One dispatch of a plan, as a GPU ran it. */
export interface Dispatched {
  readonly step: number
  readonly kernel: string
  readonly workgroups: number
  readonly microseconds: number | undefined
}

/** What a backend may say of itself; the js backend says nothing. */
export interface Described {
  readonly threads?: number
  readonly build?: string
  /** GFLOP/s of the product tiles that were compared when it was opened. */
  readonly tileRates?: { readonly narrow: number; readonly wide: number } | undefined
  /** Times the dispatches of a plan on the device. */
  profile?(plan: Plan, repeat: number): Promise<readonly Dispatched[]>
}

/** Throws CommanderError for features to leave off where there are none. */
export async function openFor(
  { backend, threads, without, revectorise }: BackendFlags,
  report?: Report,
): Promise<OpenBackend & Described> {
  if (without && backend !== "webgpu") {
    throw usageError(`--without is about a GPU: it needs --backend webgpu, got ${backend}`)
  }
  const onCompile = (done: number, all: number): void => report?.("compiling shaders", done / all)
  const opened: OpenBackend & Described = await open(backend, {
    revectorise,
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
