// Checks of fields, as configurations of data and of runs have them, and what is said of one that fails.
import * as v from "valibot"

/** A whole number. */
export function whole(from: number, to = 2 ** 31 - 1) {
  const expected = `a whole number from ${from} to ${to}`
  const inside = (x: number): boolean => Number.isInteger(x) && x >= from && x <= to
  return v.pipe(v.number(expected), v.check(inside, expected))
}

export const flag = v.boolean("true or false")

/** One of some words. */
export const choice = <const T extends readonly string[]>(...names: T) =>
  v.picklist(names, names.map((name) => `"${name}"`).join(" or "))

/** Where an issue is, such as `sources[0].fileName`; empty for the whole. */
export const issuePath = (issue: v.BaseIssue<unknown>): string =>
  v.getDotPath(issue)?.replace(/\.(\d+)/g, "[$1]") ?? ""

/** An issue as an error: TypeError for a value of another kind, RangeError for one of this kind. */
export function issueError({ kind, type, input }: v.BaseIssue<unknown>, message: string): Error {
  const isValue = type === "picklist" ? typeof input === "string" : Number.isNaN(input)
  return kind === "schema" && !isValue ? new TypeError(message) : new RangeError(message)
}
