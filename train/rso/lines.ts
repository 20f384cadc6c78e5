// The file of a stage: a line of JSON for each record, appended as it is done. What a crash left of a line is
// dropped, so that the stage goes on with the record after the last whole one.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { writeFileWhole } from "../../model/index.ts"
import { isObject } from "../../model/json.ts"
import { alone, type Communicator, gatherTexts } from "../parallel/communicator.ts"
import { anyOf } from "../run/ranks.ts"

export class StageFile<T extends object> {
  readonly path: string
  readonly #lines: T[]
  readonly #ranks: Communicator

  private constructor(path: string, lines: T[], ranks: Communicator) {
    this.path = path
    this.#lines = lines
    this.#ranks = ranks
  }

  /** The first of several ranks has the file, all have its lines. Throws SyntaxError for a whole line that is none
   *  of the stage's, which `isLine` says. */
  static async open<T extends object>(
    path: string,
    isLine: (json: Readonly<Record<string, unknown>>) => boolean,
    ranks: Communicator = alone,
  ): Promise<StageFile<T>> {
    const [text = ""] = await gatherTexts(ranks, ranks.rank === 0 ? await textOf(path) : "")
    const whole = text.slice(0, text.lastIndexOf("\n") + 1)
    const lines = whole.split("\n").slice(0, -1)
    const values = lines.map((line, i) => {
      const json = parsed(line)
      if (isObject(json) && isLine(json)) return json as T
      throw new SyntaxError(
        `${path} line ${i + 1} is none that this stage wrote. Remove the file to make it again`,
      )
    })
    if (whole !== text && ranks.rank === 0) {
      await writeFileWhole(path, new TextEncoder().encode(whole))
    }
    return new StageFile(path, values, ranks)
  }

  get lines(): readonly T[] {
    return this.#lines
  }

  /** Adds the line of each item that has none yet, as many at a time as there are ranks, each of which makes one.
   *  Whether all have one, rather than that the signal ended it. */
  async fill<I>(
    items: readonly I[],
    { signal, onPart, onSkip }: FillOptions,
    lineOf: (item: I, skip: (message: string) => void) => Promise<T>,
  ): Promise<boolean> {
    const { rank, size } = this.#ranks
    while (this.#lines.length < items.length) {
      if (await anyOf(this.#ranks, signal?.aborted ?? false)) return false
      onPart(this.#lines.length / items.length)
      const from = this.#lines.length
      const own = await madeOf(items[from + rank], lineOf)
      const all = await gatherTexts(this.#ranks, JSON.stringify(own.made))
      for (const [n, text] of all.slice(0, items.length - from).entries()) {
        const { line, skipped, failed } = JSON.parse(text) as Made<T>
        if (n === rank && own.error) throw own.error
        if (failed !== undefined) throw new Error(`rank ${n} of ${size}: ${failed}`)
        for (const message of skipped) onSkip(message)
        await this.#add(line as T)
      }
    }
    return true
  }

  async #add(line: T): Promise<void> {
    const { appendFile } = fromNode("node:fs/promises")
    if (this.#ranks.rank === 0) {
      await appendFile(this.path, `${JSON.stringify(line)}\n`).catch((error: Error) => {
        throw new Error(`Cannot write ${this.path}: ${faultText(error)}`)
      })
    }
    this.#lines.push(line)
  }
}

interface FillOptions {
  readonly signal: AbortSignal | undefined
  /** Called with the part that is done. */
  onPart(part: number): void
  onSkip(message: string): void
}

/** What a rank has made of an item. */
interface Made<T> {
  readonly line?: T
  readonly skipped: readonly string[]
  readonly failed?: string
}

async function madeOf<I, T>(
  item: I | undefined,
  lineOf: (item: I, skip: (message: string) => void) => Promise<T>,
): Promise<{ readonly made: Made<T>; readonly error?: unknown }> {
  const skipped: string[] = []
  // There are fewer left than ranks.
  if (item === undefined) return { made: { skipped } }
  try {
    return { made: { line: await lineOf(item, (message) => skipped.push(message)), skipped } }
  } catch (error) {
    return { made: { skipped, failed: (error as Error).message }, error }
  }
}

const textOf = (path: string): Promise<string> =>
  fromNode("node:fs/promises")
    .readFile(path, "utf8")
    .catch(() => "")

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
