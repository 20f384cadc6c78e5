// What the columns of a data set must be, and what is said of a row that differs.
import * as v from "valibot"
import { show } from "../../model/json.ts"
import { issueError, issuePath } from "../../model/schema.ts"
import type { Document } from "../types.ts"

export const text = v.string("a text")
export const texts = v.array(text, "a list of texts")
export const integer = v.pipe(v.number("a whole number"), v.integer("a whole number"))
export const integers = v.array(integer, "a list of whole numbers")
export const columns = v.object

/** The row itself as a document of these columns; others may stand beside them. Throws TypeError or
 *  RangeError that names the column. */
export const rowOf =
  <T>(schema: v.GenericSchema<unknown, T>) =>
  (row: Document): T => {
    const result = v.safeParse(schema, row, { abortEarly: true })
    if (result.success) return row as T
    const [issue] = result.issues
    if (issue.input === undefined) {
      const names = Object.keys(row).map((name) => show(name))
      throw new RangeError(`column ${issuePath(issue)} is missing; there are ${names.join(", ")}`)
    }
    throw wrongColumn(issuePath(issue), issue.input, issue.message, issueError.bind(null, issue))
  }

/** An error about a value in a column, RangeError by default. */
export function wrongColumn(
  column: string,
  value: unknown,
  expected: string,
  error: (message: string) => Error = RangeError,
): Error {
  return error(`column ${column} is ${show(value)}, expected ${expected}`)
}
