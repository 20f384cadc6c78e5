// What people type after a command's name: numbers as they write them, names with the nearest one
// where they err, paths. What is wrong is wrong usage, also where only a file or a model shows it.
import { CommanderError, InvalidArgumentError } from "commander"
import { decimal, publishedConfig } from "../../model/index.ts"

/** An error of usage (exit code 2) that is found when the command line is parsed already. */
export const usageError = (message: string): CommanderError =>
  new CommanderError(2, "elm.usage", `error: ${message}`)

/** What `work` gives; what it throws is wrong usage. */
export async function asUsage<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof CommanderError ? error : usageError((error as Error).message)
  }
}

/** A whole number from `least` to `most`, or a usage error. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = decimal(text)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    const end = most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ""
    throw new InvalidArgumentError(`Expected a whole number from ${least}${end}.`)
  }

/** A number for which `is` holds, or a usage error. */
const number =
  (expected: string, is: (x: number) => boolean) =>
  (text: string): number => {
    const value = decimal(text)
    if (is(value)) return value
    throw new InvalidArgumentError(`Expected ${expected}.`)
  }

/** A seed as every generator here takes one. */
export const seed = whole(0, 0xffffffff)
export const finite = number("a number", Number.isFinite)
/** A part of a whole. */
export const part = number("a number from 0 to below 1", (x) => x >= 0 && x < 1)
export const notNegative = number("a number from 0", (x) => x >= 0 && Number.isFinite(x))
export const probability = number("a number above 0 and up to 1", (x) => x > 0 && x <= 1)

const filled =
  (expected: string) =>
  (text: string): string => {
    if (text !== "") return text
    throw new InvalidArgumentError(`Expected ${expected}, got an empty text.`)
  }

/** The list of what was given, of a flag or an argument that takes several. */
export const several =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []): readonly T[] => [...before, parse(text)]

/** A path or URL, or a usage error. */
export const path = filled("a path")
export const paths = several(path)
export const texts = several(filled("a text"))

/** Names of released sizes, separated by commas. */
export const models = (text: string): string[] => {
  const names = text.split(",")
  for (const name of names) {
    try {
      publishedConfig(name)
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message)
    }
  }
  return names
}

/** Names separated by commas, as `all` have them, or a usage error. */
export function chosenOf<T>(text: string, all: readonly T[], nameOf: (one: T) => string): T[] {
  return text.split(",").map((wanted) => {
    const found = all.find((one) => nameOf(one) === wanted)
    if (found !== undefined) return found
    const names = all.map(nameOf)
    throw new InvalidArgumentError(
      `There is no ${wanted}${suggestion(wanted, names)}. There are: ${names.join(", ")}.`,
    )
  })
}

/** " (Did you mean …?)" with the nearest of the names, "" where none is near. */
export function suggestion(word: string, names: readonly string[]): string {
  const near = names
    .map((name) => ({ name, edits: editsBetween(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.min(word.length, name.length) / 2.5))
    .sort((a, b) => a.edits - b.edits)
  return near[0] ? ` (Did you mean ${near[0].name}?)` : ""
}

/** Letters to insert, remove or replace (Levenshtein), two rows of the table at a time. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
