// What generations of a model share: its weights, its backend, and the memory that waits between them.
import type { Backend, Tensor } from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import type { Usage } from "../usage.ts"
import type { Residence } from "../weights/restore.ts"
import type { Pool } from "./pool.ts"
import { Session } from "./session.ts"
import type { CacheOptions } from "./state.ts"

/** What a model generates from. */
export interface Source {
  readonly decoder: Decoder
  /** All weights by name. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** What follows from the config, by name. */
  readonly tables: ReadonlyMap<string, Tensor>
  /** A weight in its place, whole until another is asked for. */
  whole(name: string): Promise<Tensor>
  readonly backend: Backend
  /** Of a session; a batch takes no more positions than its texts. */
  readonly options: CacheOptions
  readonly usage: Usage
  readonly residence: Residence
  readonly pool: Pool
  /** Of an adapter. */
  readonly beside?: {
    /** The weights that it stands beside. */
    readonly base: Source
    /** How often its numbers, or its scale, have changed. */
    changes(): number
  }
}

const sources = new WeakMap<object, Source>()

/** The same, which is known to be the model's from here on. */
export function withSource(model: object, source: Source): Source {
  sources.set(model, source)
  return source
}

/** What a model generates from; undefined for what is no model. */
export const sourceOf = (model: unknown): Source | undefined => sources.get(Object(model))

/** A session that nobody else has until it is released. `from`: the pool, or a seat in it. */
export const sessionOf = ({ decoder, backend, options }: Source, from: Sessions): Session =>
  from("session", () => new Session(decoder, backend, options))

type Sessions = (kind: string, open: () => Session) => Session
