// The fields of a run as a command line has them: an option for each of a list, the configurations that come
// with the package, and what of a run that goes on may differ. What is wrong with a flag is wrong usage.
import { existsSync, readdirSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { InvalidArgumentError } from "commander"
import { readYaml } from "../../model/files/yaml.ts"
import { meansPath } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import { checkpointOf } from "../../train/run/checkpoint.ts"
import { type FieldList, namesWhere } from "../../train/run/field_list.ts"
import { fieldProblem, fieldsOfFile, parseValue } from "../../train/run/settings.ts"
import { path, suggestion, usageError } from "./arguments.ts"
import { type Flag, type Flags, flagName, under, valued } from "./flags.ts"
import { headings } from "./options.ts"

export type Given = Readonly<Record<string, unknown>>

const typed = (field: string): string => `--${flagName(field)}`

/** An option for each field of a list; `usual` says what a run without flags has of one. */
export const flagsOf = (list: FieldList, usual: (field: string) => unknown): Flags =>
  Object.fromEntries(list.names.map((field) => [field, flagOf(list, field, usual)]))

function flagOf(list: FieldList, field: string, usual: (field: string) => unknown): Flag<unknown> {
  const { text, group, isPath } = list.about(field)
  const heading = headings[group]
  const isSwitch = fieldProblem(field, true, list) === undefined
  if (isSwitch) return { text, heading, no: "where a configuration has it" }
  const shown = (): string | undefined => {
    const value = usual(field)
    if (value === undefined || isObject(value) || isPath) return undefined
    return Array.isArray(value) ? value.join(",") : String(value)
  }
  const parse = (text: string): unknown => flagValue(list, field, text)
  return { text, heading, value: "<value>", parse, usual: shown }
}

/** A flag's value; its paths count from the working folder, now and when the run is resumed. */
function flagValue(list: FieldList, field: string, text: string): unknown {
  const value = parseValue(field, text, list)
  const problem = fieldProblem(field, value, list)
  if (problem) throw new InvalidArgumentError(`Expected ${problem}.`)
  try {
    list.about(field).check?.(text)
    if (!isPlace(list, field, value) || value === "byte") return value
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  return resolve(path(text))
}

/** Whether a value is a path: not a URL or a repository where a field takes these. */
const isPlace = (list: FieldList, field: string, value: unknown): value is string => {
  const { isPath = false, isSource = false } = list.about(field)
  return isPath && typeof value === "string" && (!isSource || meansPath(value))
}

/** The values of those flags that were given. */
export const givenOf = ({ names }: FieldList, flags: Given): Given =>
  Object.fromEntries(
    names.flatMap((field) => (flags[field] === undefined ? [] : [[field, flags[field]]])),
  )

/** Throws for a flag that would change nothing. */
export function refuseIdle<S>(list: FieldList, settings: S, given: Given): S {
  for (const field of list.names) {
    const { idle: [other, value] = [], broughtBy } = list.about(field)
    if (given[field] === undefined) continue
    if (broughtBy !== undefined && (settings as Given)[broughtBy] !== undefined) {
      throw usageError(`${typed(field)} has no effect: what ${typed(broughtBy)} has counts`)
    }
    if (other === undefined) continue
    if ((settings as Given)[other] !== value) continue
    const why = `${typed(other)} is ${value}`
    throw usageError(`${typed(field)} has no effect: ${why}. Leave it out`)
  }
  return settings
}

/** Throws for a flag that a run which is resumed had otherwise. */
export function refuseChanged(list: FieldList, before: Given, given: Given, next: string): void {
  for (const [field, value] of Object.entries(given)) {
    if (list.about(field).isFree) continue
    if (JSON.stringify(before[field]) === JSON.stringify(value)) continue
    throw usageError(
      `${typed(field)} is ${show(value)}, the run that is resumed has ` +
        `${show(before[field])}. Leave it out, or ${next}`,
    )
  }
}

/** The settings of a run that lies in `out` now; its data, where it came along, is found beside it. */
export function moved<S extends { readonly out: string; readonly data?: unknown }>(
  settings: S,
  out: string,
): S {
  const { data, out: before } = settings
  if (typeof data !== "string" || existsSync(data) || typeof before !== "string") {
    return { ...settings, out }
  }
  const there = resolve(out, relative(before, data))
  return { ...settings, out, data: existsSync(there) ? there : data }
}

/** Where a run goes on from. */
export const resumeFlag = under(headings.run, {
  resume: valued<string>(
    "<folder>",
    "go on from a run's last checkpoint, or from a checkpoint",
    path,
  ),
})

/** The error of both a configuration and a run that goes on. */
export const configBesideResume = (): Error =>
  usageError("--resume takes the settings of its run; leave --config out")

/** The checkpoint that a run goes on from. Throws Error where there is none. */
export async function checkpointToResume(resume: string): Promise<string> {
  if (existsSync(resume)) return checkpointOf(resume)
  throw new Error(`There is nothing at ${resume}. Give the folder of a run`)
}

/** A folder of configurations in train/configs/, and their names. */
export interface Configs {
  readonly folder: string
  readonly names: readonly string[]
}

export function configsIn(folder: string): Configs {
  const there = fileURLToPath(new URL(`../../../train/configs/${folder}`, import.meta.url))
  const names = readdirSync(there)
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => name.slice(0, -".yaml".length))
  return { folder: there, names }
}

/** A configuration file's path and fields; paths in it count from its folder. */
export async function readConfig(
  list: FieldList,
  { folder, names }: Configs,
  name: string,
): Promise<[string, Record<string, unknown>]> {
  const shipped = resolve(folder, `${name}.yaml`)
  const file = !/[\\/.]/.test(name) && existsSync(shipped) ? shipped : resolve(name)
  if (!existsSync(file)) {
    const near = suggestion(name, names)
    const also = near || `. There are: ${names.join(", ")}`
    throw new Error(
      `Cannot open ${name}: no such file, and the package has no configuration of it${also}`,
    )
  }
  const json = await readYaml(file)
  if (!isObject(json)) throw new TypeError(`${file}: expected fields, such as steps: 1000`)
  const from = (value: unknown, field?: string): unknown => {
    if (typeof value !== "string" || value === "byte") return value
    const there = resolve(dirname(file), value)
    return field === undefined || existsSync(there) || isPlace(list, field, value) ? there : value
  }
  const own: Record<string, unknown> = { ...json }
  for (const field of namesWhere(list, ({ isPath }) => isPath)) {
    const value = json[field]
    if (isObject(value)) own[field] = { ...value, root: from(value.root ?? ".") }
    else if (value !== undefined) own[field] = from(value, field)
  }
  return [file, { ...fieldsOfFile(own, file) }]
}
