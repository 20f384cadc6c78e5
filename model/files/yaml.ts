// YAML files: YAML 1.2 with merge keys, errors as one line that names the place.
import { brief } from "../json.ts"
import { openFile } from "./source.ts"
import { contentOf } from "./tree.ts"

/** Far beyond any list of sources or settings. */
const mostBytes = 1 << 20

/** The value of a YAML file. Throws Error where it cannot be read, SyntaxError where it does not parse. */
export async function readYaml(path: string): Promise<unknown> {
  const file = await openFile(path, { limit: mostBytes })
  return parseYaml(new TextDecoder().decode(await contentOf(file, mostBytes)), path)
}

/** The value of a YAML text. Throws SyntaxError naming `from` and the line. */
export async function parseYaml(text: string, from: string): Promise<unknown> {
  const { parseDocument } = await import("yaml")
  const fail = (error: Error, line?: number): never => {
    const [message = ""] = error.message.split(/ at line |\n/)
    const reason = /call stack/i.test(message) ? "it is nested too deeply" : brief(message)
    throw new SyntaxError(`${from}${line ? ` line ${line}` : ""} is not YAML: ${reason}`)
  }
  const document = parseDocument(text, { merge: true, prettyErrors: true })
  const [error] = document.errors
  if (error) fail(error, error.linePos?.[0].line)
  try {
    return document.toJS({ maxAliasCount: 1000 })
  } catch (error) {
    return fail(error as Error)
  }
}
