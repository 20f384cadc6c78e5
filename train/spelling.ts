// How fields are spelled: in code `batchSize`; in files, as the release's have them, `batch_size`.
// Nothing else translates between the two.
import { brief, isObject } from "../model/json.ts"

/** A field's name, or a text with such names, as whoever gave the fields writes it. */
export type Spelling = (text: string) => string

export const inCode: Spelling = (text) => text

export const inFile: Spelling = (text) =>
  text.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a}_${b.toLowerCase()}`)

/** A field in a message that knows not where it was given: as in code, and as in files where that differs. */
export const inEither: Spelling = (name) =>
  inFile(name) === name ? name : `${name} (in files ${inFile(name)})`

/** What a field of a file is called in code. */
export const codeName = (name: string): string =>
  name.replace(/([a-z])_([a-z])/g, (_, a: string, b: string) => a + b.toUpperCase())

export type Fields = Readonly<Record<string, unknown>>
type Naming = (field: string, beside: Fields) => string

/** What files written before have by another spelling. */
const earlier: ReadonlyMap<string, string> = new Map([
  ["optimiser", "optimizer"],
  ["normalisation", "normalization"],
])

/** A file's fields, those of their objects and lists too, by their names in code. The release's layout
 *  of data stays as it is. Throws RangeError for one that is spelled as in code. */
export function fromFile(fields: Fields, from: string): Fields {
  const name = (field: string, beside: Fields): string => {
    const now = earlier.get(field)
    if (now !== undefined && now in beside) {
      throw new RangeError(`${from}: ${now} is there twice, also as ${field}. Leave one out`)
    }
    const own = inFile(field)
    if (own === field) return now ?? codeName(field)
    throw new RangeError(`${from}: there is no field ${brief(field)}. In files it is ${brief(own)}`)
  }
  return renamed(fields, name) as Fields
}

/** The same fields as a file has them. */
export const toFile = (fields: Fields): Fields => renamed(fields, inFile) as Fields

function renamed(value: unknown, name: Naming, above: readonly unknown[] = []): unknown {
  // An alias of YAML may stand for what it lies in: no field expects it, and the checks refuse it.
  if (above.includes(value)) return value
  const inside = (x: unknown): unknown => renamed(x, name, [...above, value])
  if (Array.isArray(value)) return value.map(inside)
  if (!isObject(value) || isRelease(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, x]) => [name(key, value), inside(x)]))
}

/** Whether data is described as in the release's configurations. */
export const isRelease = (fields: Fields): boolean => isObject(fields.dataset)
