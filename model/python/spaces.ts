// White space as Python's str has it: what strip removes and \s matches, in the original's filters.

/** The inside of a regular expression's brackets. */
export const spaces =
  "\\t-\\r\\u001c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

const other = new RegExp(`[${spaces}]`)

export function isSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 9 && code <= 13) || code >= 0x1c
  return code >= 0x85 && other.test(String.fromCharCode(code))
}
