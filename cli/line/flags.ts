// What a command takes, as its file declares it: a table of flags, whose keys are their names, and a row
// of arguments. The types of what the command is run with follow from both; commander gets the rest.
import { Argument, Option } from "commander"

/** An option whose value is a T. The key `maxNewTokens` of a table is --max-new-tokens. */
export interface Flag<T> {
  /** What help says of it; without, there is --no-NAME alone. */
  readonly text?: string
  /** What help says of --no-NAME, where that is taken. */
  readonly no?: string
  /** What help calls its value: "<n>", or "[n]" where that may be left out. A switch has none. */
  readonly value?: string
  readonly heading?: string
  readonly choices?: readonly string[]
  readonly isRequired?: boolean
  readonly default?: T
  /** The default as help writes it. */
  readonly shown?: string
  /** What it is where it is not given, in words that are found out for help alone. */
  usual?(): string | undefined
  /** Throws InvalidArgumentError with what was expected. `before`: what an earlier one gave. */
  parse?(text: string, before?: T): T
}

export type Flags = Readonly<Record<string, Flag<unknown>>>

/** What a command with these flags is run with. */
export type ValuesOf<F extends Flags> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never
}

/** An argument by its place, whose value is a T. */
interface Positional<T> {
  /** "<file>", or "<files...>" for one or more. */
  readonly name: string
  readonly text: string
  readonly choices?: readonly string[]
  parse?(text: string, before?: T): T
}

export type Positionals = readonly Positional<unknown>[]

export type ArgumentsOf<A extends Positionals> = {
  readonly [I in keyof A]: A[I] extends Positional<infer T> ? T : never
}

type Parse<T> = (text: string, before?: T) => T

/** A flag with a value: undefined, or the default, where it is not given. */
export function valued<T>(value: string, text: string, parse: Parse<T>): Flag<T | undefined>
export function valued<T>(
  value: string,
  text: string,
  parse: Parse<T>,
  usual: T,
  shown?: string,
): Flag<T>
export function valued<T>(
  value: string,
  text: string,
  parse: Parse<T>,
  usual?: T,
  shown?: string,
): Flag<T | undefined> {
  return { value, text, parse, default: usual, shown }
}

/** A flag with one of some names. */
export function choice<const T extends string>(
  text: string,
  names: readonly T[],
): Flag<T | undefined>
export function choice<const T extends string>(text: string, names: readonly T[], usual: T): Flag<T>
export function choice<const T extends string>(
  text: string,
  names: readonly T[],
  usual?: T,
): Flag<T | undefined> {
  return { value: "<name>", text, choices: names, default: usual }
}

/** A flag without a value. */
export const toggle = (text: string): Flag<true | undefined> => ({ text })

/** The same flag, which has to be given. */
export const required = <T>(flag: Flag<T | undefined>): Flag<T> =>
  ({ ...flag, isRequired: true }) as Flag<T>

/** The flags under one heading of a command's help. */
export const under = <F extends Flags>(heading: string, flags: F): F =>
  Object.fromEntries(Object.entries(flags).map(([key, flag]) => [key, { ...flag, heading }])) as F

/** An argument, which is a text where nothing parses it. */
export function positional(name: string, text: string): Positional<string>
export function positional<T>(name: string, text: string, parse: Parse<T>): Positional<T>
export function positional<T>(name: string, text: string, parse?: Parse<T>): Positional<T> {
  return parse ? { name, text, parse } : { name, text }
}

/** An argument that is one of some names. */
export const oneOf = <T extends string>(
  name: string,
  text: string,
  choices: readonly T[],
): Positional<T> => ({ name, text, choices })

/** The name of a flag as it is typed, without its dashes. */
export const flagName = (key: string): string =>
  key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** A flag as commander has it: one option, or two where it can be taken back. */
export function optionsOf(key: string, flag: Flag<unknown>): Option[] {
  const { text, no, value, choices, isRequired = false, shown, heading } = flag
  const options: Option[] = []
  if (text !== undefined) {
    const option = new Option(`--${flagName(key)}${value ? ` ${value}` : ""}`, text)
    // --no-repeat-ngram-size 2 takes nothing back.
    if (value) option.negate = false
    if (choices) option.choices(choices)
    if (flag.parse) option.argParser(flag.parse)
    if (flag.default !== undefined) option.default(flag.default, shown)
    options.push(option.makeOptionMandatory(isRequired))
  }
  if (no !== undefined) options.push(new Option(`--no-${flagName(key)}`, no))
  return heading === undefined ? options : options.map((option) => option.helpGroup(heading))
}

/** An argument as commander has it. */
export function argumentOf({ name, text, choices, parse }: Positional<unknown>): Argument {
  const argument = new Argument(name, text)
  if (choices) argument.choices(choices)
  return parse ? argument.argParser(parse) : argument
}
