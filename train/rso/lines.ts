// The file of a stage: a line of JSON for each record, appended as it is done. What a crash left of a line is
// dropped, so that the stage goes on with the record after the last whole one.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { writeFileWhole } from "../../model/index.ts"
import { isObject } from "../../model/json.ts"

export class StageFile<T extends object> {
  readonly path: string
  readonly #lines: T[]

  private constructor(path: string, lines: T[]) {
    this.path = path
    this.#lines = lines
  }

  /** Throws SyntaxError for a whole line that is none of the stage's, which `isLine` says. */
  static async open<T extends object>(
    path: string,
    isLine: (json: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<StageFile<T>> {
    const text = await fromNode("node:fs/promises")
      .readFile(path, "utf8")
      .catch(() => "")
    const whole = text.slice(0, text.lastIndexOf("\n") + 1)
    const lines = whole.split("\n").slice(0, -1)
    const values = lines.map((line, i) => {
      const json = parsed(line)
      if (isObject(json) && isLine(json)) return json as T
      throw new SyntaxError(
        `${path} line ${i + 1} is none that this stage wrote. Remove the file to make it again`,
      )
    })
    if (whole !== text) await writeFileWhole(path, new TextEncoder().encode(whole))
    return new StageFile(path, values)
  }

  get lines(): readonly T[] {
    return this.#lines
  }

  async add(line: T): Promise<void> {
    const { appendFile } = fromNode("node:fs/promises")
    await appendFile(this.path, `${JSON.stringify(line)}\n`).catch((error: Error) => {
      throw new Error(`Cannot write ${this.path}: ${faultText(error)}`)
    })
    this.#lines.push(line)
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
