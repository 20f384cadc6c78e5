// A sequence whose keys and values stay between calls: of a prompt that begins as the last one went, only
// what follows is read. One generation at a time uses it.
import { type FileSource, pathToWrite } from "../files/source.ts"
import { show } from "../json.ts"
import { sharedLength } from "./ids.ts"
import { type Kept, readCache, writeCache } from "./prompt_cache_file.ts"
import type { Session } from "./session.ts"
import type { Overflow } from "./slide.ts"
import { type Source, sessionOf } from "./source.ts"

/** Keys and values that stay between calls. Weights that move, or a device that is lost, empty it. */
export interface PromptCache {
  /** The tokens that it has read; where it slides, some of them are there no longer. */
  readonly ids: readonly number[]
  /** Of the last prompt, the tokens that had been in it before. */
  readonly reusedTokens: number
  /** Positions that the model has read into it so far. */
  readonly readTokens: number
  /** Writes its tokens, keys and values into a safetensors file, whole or not at all. */
  save(path: string | URL): Promise<void>
  /** Takes what `save` wrote, in place of what it has. Throws RangeError for what other weights gave or
   *  another dtype holds, SyntaxError for a file that is damaged: nothing has changed then. */
  load(source: FileSource): Promise<void>
  /** Gives its memory back. */
  close(): void
  /** As `close`. */
  [Symbol.dispose](): void
}

export class KeptSequence implements PromptCache {
  readonly #source: Source
  readonly #session: Session
  /** Tokens whose keys and values lie in the session. */
  #ids: number[] = []
  /** What is read before the next token is chosen: the prompt, or the one chosen last. */
  #unread: readonly number[] = []
  #writes: number
  #lost: number
  #reused = 0
  /** First tokens that slides have left. */
  #keep = 0
  #isUsed = false
  #isClosed = false

  constructor(source: Source) {
    source.usage.check()
    this.#source = source
    this.#session = sessionOf(source, (kind, open) => source.pool.acquire(kind, open))
    this.#writes = source.usage.writes
    this.#lost = source.residence.lost
  }

  get ids(): readonly number[] {
    return this.#ids
  }

  get reusedTokens(): number {
    return this.#reused
  }

  get readTokens(): number {
    return this.#session.positions
  }

  /** Throws Error for one that is closed, in use, or of another model. */
  check(source: Source): void {
    if (source !== this.#source) {
      throw new RangeError(
        "generate: promptCache is another model's, or another adapter's. Make one of this one",
      )
    }
    if (this.#isClosed) throw new Error("promptCache is closed. Make another one")
    if (!this.#isUsed) return
    throw new Error("promptCache is in use by a call that has not ended")
  }

  async save(path: string | URL): Promise<void> {
    const file = pathToWrite(path, "promptCache.save: the file")
    await this.#alone(async () => {
      if (!this.#isCurrent()) this.#ids = []
      await writeCache(file, this.#source, this.#session, this.#kept)
    })
  }

  async load(source: FileSource): Promise<void> {
    await this.#alone(async () => {
      const { ids, dropped, keep } = await readCache(source, this.#source, this.#session)
      this.#isCurrent()
      this.#ids = [...ids]
      this.#keep = keep
      this.#session.dropped = dropped
    })
  }

  /** What lies in it. A prompt that was not read to its end may have dropped what came before it. */
  get #kept(): Kept {
    const [ids, keep] = [this.#ids, this.#keep]
    const { dropped } = this.#session
    if (ids.length >= keep + dropped) return { ids, dropped, keep }
    return { ids: ids.slice(0, keep), dropped: 0, keep }
  }

  /** What `work` does while nobody else uses it, or moves the weights. */
  async #alone(work: () => Promise<void>): Promise<void> {
    this.check(this.#source)
    const { usage, residence } = this.#source
    this.#isUsed = true
    try {
      await usage.reading(() => residence.during(work))
    } finally {
      this.#isUsed = false
    }
  }

  /** Whether what lies in it is of the weights that there are; from here on, it is taken to be. */
  #isCurrent(): boolean {
    const { writes } = this.#source.usage
    const { lost } = this.#source.residence
    const isThere = writes === this.#writes && lost === this.#lost
    ;[this.#writes, this.#lost] = [writes, lost]
    return isThere
  }

  /** Begins a prompt: the session, how many of its tokens it has read already, and how many of those it has
   *  dropped; the last one is read again, since what follows it is wanted. */
  begin(prompt: readonly number[], overflow: Overflow | undefined) {
    this.check(this.#source)
    let from = this.#isCurrent() ? sharedLength(this.#ids, prompt.slice(0, -1)) : 0
    const session = this.#session
    let { dropped } = session
    // What was dropped is gone: a text that parts from the last one in it is read again from there.
    if (dropped > 0 && (overflow?.keep !== this.#keep || from < this.#keep + dropped)) {
      from = Math.min(from, this.#keep)
      dropped = 0
    }
    this.#keep = overflow?.keep ?? 0
    this.#isUsed = true
    this.#ids = prompt.slice(0, from)
    this.#unread = prompt.slice(from)
    this.#reused = from
    return { session, from, dropped }
  }

  /** A token was chosen, after the prompt or the one chosen last. */
  chosen(id: number): void {
    for (const read of this.#unread) this.#ids.push(read)
    this.#unread = [id]
  }

  /** Its generation has ended. */
  end(): void {
    this.#isUsed = false
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#ids = []
    this.#source.pool.release(this.#session)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** The prompt cache of options. Throws TypeError for what is none. */
export function checkedCache(given: unknown, source: Source): KeptSequence | undefined {
  if (given === undefined) return undefined
  if (!(given instanceof KeptSequence)) {
    throw new TypeError(
      `generate: promptCache is ${show(given)}, expected one that model.promptCache() made`,
    )
  }
  given.check(source)
  return given
}
