// Regular expressions of Python as JavaScript has them.

/** The expression, which finds all matches. Throws SyntaxError naming `field` where it is none. */
export function pythonRegex(pattern: string, field: string): RegExp {
  const [, letters = ""] = /^\(\?([aimsux]+)\)/.exec(pattern) ?? []
  const flags = [...new Set(letters)].filter((letter) => "ims".includes(letter)).join("")
  const source = pattern
    .replace(/^\(\?[aimsux]+\)/, "")
    .replaceAll("(?P<", "(?<")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replaceAll("\\A", "^")
    .replaceAll("\\Z", "$")
  try {
    return new RegExp(source, `g${flags}`)
  } catch (error) {
    throw new SyntaxError(`${field}: ${(error as Error).message}`, { cause: error })
  }
}
