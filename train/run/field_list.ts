// How a kind of run declares what it is asked for: a list of fields, each with its check and default, what it
// is, and all that configurations, programs and flags go by.
import * as v from "valibot"
import { isBelow1, isNotNegative, isPositive } from "../checks.ts"

export const real = (expected: string, holds: (x: number) => boolean) =>
  v.pipe(v.number(expected), v.check(holds, expected))
export const positive = real("a number above 0 (in f32: 1.2e-38 to 3.4e38)", isPositive)
export const notNegative = real("a number from 0 (in f32: 1.2e-38 to 3.4e38)", isNotNegative)
export const below1 = real("a number from 0 and below 1, in f32 too", isBelow1)
export const text = v.string("a text")
export const path = v.pipe(
  text,
  v.check((x) => x !== "", "a path"),
)
/** A part that is held out. */
export const part = real("a number from 0 to 0.5", (x) => x >= 0 && x <= 0.5)

/** What is known of a field beside its check. */
export interface About {
  /** What it is. */
  readonly text: string
  /** What it belongs to. */
  readonly group: "model" | "data" | "optimization" | "evaluation" | "output" | "machine"
  /** A size of a model, which first weights have already. */
  readonly isSize?: true
  /** A path, which counts from the folder of whoever wrote it. */
  readonly isPath?: true
  /** A path, or a URL, or a repository of the hub. */
  readonly isSource?: true
  /** Throws for a text that names nothing. */
  readonly check?: (text: string) => unknown
  /** A text, also where it looks like a number. */
  readonly isText?: true
  /** It may differ when a run is resumed: what it changes is not what is computed; that the data is
   *  the same is seen from what it holds; with other `steps` the schedule is theirs. */
  readonly isFree?: true
  /** The field that brings a value for this one, where it is given. */
  readonly broughtBy?: string
  /** It changes nothing where another field has this value. */
  readonly idle?: readonly [field: string, value: number | string | boolean]
}

export const field =
  (group: About["group"]) =>
  <S extends v.GenericSchema>(
    schema: S,
    text: string,
    more: Omit<About, "text" | "group"> = {},
  ) => ({
    schema,
    text,
    group,
    ...more,
  })

/** A field as a list has it. */
type Declared = About & { readonly schema: v.GenericSchema }

/** What a kind of run is asked for, in the order in which help has it. */
export interface FieldList {
  /** The command that takes the fields as flags. */
  readonly command: string
  readonly names: readonly string[]
  readonly schema: v.GenericSchema<unknown, Readonly<Record<string, unknown>>>
  /** Of a name that is in the list. */
  about(name: string): Declared
}

/** Names of the fields of which something holds. */
export const namesWhere = (
  { names, about }: Pick<FieldList, "names" | "about">,
  holds: (about: About) => unknown,
): readonly string[] => names.filter((name) => holds(about(name)))

/** The list of these fields, and the schema of an object of them. */
export function fieldList<L extends Readonly<Record<string, Declared>>>(command: string, list: L) {
  const schemas = Object.fromEntries(
    Object.entries(list).map(([name, { schema }]) => [name, schema]),
  ) as { readonly [F in keyof L]: L[F]["schema"] }
  return {
    command,
    names: Object.keys(list),
    about: (name: string): Declared => list[name] as Declared,
    schema: v.strictObject(schemas, "an object of settings"),
  }
}

/** What a field is where it is not given; undefined where nothing is. */
export const usualOf = (list: FieldList, name: string): unknown =>
  (list.about(name).schema as { readonly default?: unknown }).default
