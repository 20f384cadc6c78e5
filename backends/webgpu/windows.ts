// Kernels index tensors as arrays. Where a tensor is bound in windows its elements are reached through
// functions instead (prelude.ts): this rewrites the text of a kernel so.

const assignment = /^\s*([-+*/]?)=(?!=)/

/** `code` with name[i] as target_read(i), and name[i] = v as target_write(i, v). Throws SyntaxError
 *  where part of an element is written. */
export function throughFunctions(code: string, name: string, target: string): string {
  const use = new RegExp(`(?<![\\w.])${name}\\[`)
  const found = use.exec(code)
  if (!found) return code
  const rewrite = (text: string): string => throughFunctions(text, name, target)
  const before = code.slice(0, found.index)
  const start = found.index + found[0].length
  const end = closing(code, start)
  const index = rewrite(code.slice(start, end))
  const rest = code.slice(end + 1)
  const read = `${target}_read(${index})`
  const assigned = assignment.exec(rest)
  if (!assigned) {
    if (/^(\.\w+|\[[^\]]*\])+\s*[-+*/]?=(?!=)/.test(rest)) {
      throw new SyntaxError(`a kernel writes part of an element of ${name}, which lies in windows`)
    }
    return `${before}${read}${rewrite(rest)}`
  }
  const [all, operator] = assigned as unknown as [string, string]
  const semicolon = rest.indexOf(";", all.length)
  const value = rewrite(rest.slice(all.length, semicolon).trim())
  const result = operator ? `${read} ${operator} (${value})` : value
  return `${before}${target}_write(${index}, ${result})${rewrite(rest.slice(semicolon))}`
}

/** Where the bracket that is open at `start` closes. */
function closing(code: string, start: number): number {
  let depth = 1
  for (let i = start; i < code.length; i++) {
    if (code[i] === "[") depth++
    if (code[i] === "]" && --depth === 0) return i
  }
  throw new SyntaxError(`a bracket does not close: ${code.slice(start, start + 40)}`)
}
