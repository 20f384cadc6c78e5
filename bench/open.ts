// Opens the backend of a benchmark with everything that this runtime has.
import { type BackendName, type OpenBackend, open } from "../backends/index.ts"

export interface BackendFlags {
  readonly backend: BackendName
  readonly threads?: number
  readonly revectorise: boolean
}

/** What a backend may say of itself; the js backend says nothing. */
interface Described {
  readonly threads?: number
  readonly build?: string
}

export async function openFor({
  backend,
  threads,
  revectorise,
}: BackendFlags): Promise<OpenBackend & Described> {
  return open(backend, threads === undefined ? { revectorise } : { threads, revectorise })
}
