// YAML files of data: YAML 1.2 with merge keys, errors as one line that names the place.

/** The value of a YAML text. Throws SyntaxError naming `from` and the line. */
export async function parseYaml(text: string, from: string): Promise<unknown> {
  const { parseDocument } = await import("yaml")
  const document = parseDocument(text, { merge: true, prettyErrors: true })
  const [error] = document.errors
  if (!error) return document.toJS({ maxAliasCount: 1000 })
  const line = error.linePos?.[0].line
  const [message] = error.message.split(/ at line |\n/)
  throw new SyntaxError(`${from}${line ? ` line ${line}` : ""} is not YAML: ${message}`)
}
