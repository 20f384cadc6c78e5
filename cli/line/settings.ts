// The settings of `elm train` as a command line has them: an option for each field, and how these, a
// configuration and a run that goes on become one. What is wrong with a flag is wrong usage.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { InvalidArgumentError } from "commander"
import { readYaml } from "../../model/files/yaml.ts"
import { meansPath, tokenizerIn, tokenizerOfModel, treeOf } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import { checkpointOf, readRunState } from "../../train/run/checkpoint.ts"
import {
  type Field,
  fieldNames,
  fields,
  namesWhere,
  type Settings,
} from "../../train/run/fields.ts"
import {
  checkSettings,
  fieldProblem,
  fieldsOfFile,
  parseValue,
  shortened,
  withFlags,
} from "../../train/run/settings.ts"
import { inFile } from "../../train/spelling.ts"
import { asUsage, path, suggestion, usageError } from "./arguments.ts"
import { type Flag, type Flags, flagName, under, valued } from "./flags.ts"
import { headings } from "./options.ts"

interface SettingsFlags {
  readonly config: string
  readonly resume?: string
  readonly [field: string]: unknown
}

/** Configurations that come with the package. */
const configFolder = fileURLToPath(new URL("../../../train/configs/", import.meta.url))
const defaultConfig = "austen"
const configNames = readdirSync(configFolder)
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => name.slice(0, -".yaml".length))
/** The part of a text that is held out for validation. */
const defaultHeldOut = 0.05
const typed = (field: Field): string => `--${flagName(field)}`

/** A flag for each field, and for where the others come from. */
export const settingFlags = {
  ...under(headings.run, {
    config: valued(
      "<name>",
      `a YAML file, or one of ${configNames.join(", ")}`,
      path,
      defaultConfig,
    ),
    resume: valued("<folder>", "go on from a run's last checkpoint, or from a checkpoint", path),
  }),
  ...(Object.fromEntries(fieldNames.map((field) => [field, flagOf(field)])) as Flags),
}

function flagOf(field: Field): Flag<unknown> {
  const { text, group } = fields[field]
  const heading = headings[group]
  const isSwitch = fieldProblem(field, true) === undefined
  if (isSwitch) return { text, heading, no: "where a configuration has it" }
  const parse = (text: string): unknown => flagValue(field, text)
  return { text, heading, value: "<value>", parse, usual: () => usual(field) }
}

/** A flag's value; its paths count from the working folder, now and when the run is resumed. */
function flagValue(field: Field, text: string): unknown {
  const value = parseValue(field, text)
  const problem = fieldProblem(field, value)
  if (problem) throw new InvalidArgumentError(`Expected ${problem}.`)
  try {
    fields[field].check?.(text)
    if (!isPlace(field, value) || value === "byte") return value
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  return resolve(path(text))
}

/** Whether a value is a path: not a URL or a repository where a field takes these. */
const isPlace = (field: Field, value: unknown): value is string => {
  const { isPath = false, isSource = false } = fields[field]
  return isPath && typeof value === "string" && (!isSource || meansPath(value))
}

/** What a run without flags has of a field. */
function usual(field: Field): string | undefined {
  const value = defaults()[field]
  if (value === undefined || isObject(value) || fields[field].isPath) return undefined
  return Array.isArray(value) ? value.join(",") : String(value)
}

/** The settings of the configuration that is taken where none is given. */
function defaults(): Settings {
  const { parse } = createRequire(import.meta.url)("yaml") as typeof import("yaml")
  const file = resolve(configFolder, `${defaultConfig}.yaml`)
  return checkSettings(fieldsOfFile(parse(readFileSync(file, "utf8")), file), file, inFile)
}

/** Settings from the configuration or the checkpoint, with the flags' values in their places. */
export async function settingsOf(flags: SettingsFlags, hasConfig: boolean): Promise<Settings> {
  const given = Object.fromEntries(
    fieldNames.flatMap((field) => {
      const value = flags[field]
      return value === undefined ? [] : [[field, value]]
    }),
  )
  if (flags.resume === undefined) return started(flags, given)
  if (hasConfig) {
    throw usageError("--resume takes the settings of its run; leave --config out")
  }
  return resumed(flags.resume, given)
}

type Given = Readonly<Record<string, unknown>>

/** Whether first weights, a folder or a file of them, bring their tokenizer. */
async function hasTokenizer(init: string): Promise<boolean> {
  if (treeOf(init).file === undefined && (await tokenizerIn(init)) !== undefined) return true
  // A file of weights may hold one; those of a repository are not fetched to see that.
  const isHere = meansPath(init) ? existsSync(init) : treeOf(init).file !== undefined
  return isHere && (await tokenizerOfModel(init)) !== undefined
}

async function started({ config }: SettingsFlags, given: Given): Promise<Settings> {
  const [from, base] = await readConfig(config)
  const { init } = given
  if (typeof init === "string" && given.tokenizer === undefined) {
    if (await hasTokenizer(init)) delete base.tokenizer
    else if (!meansPath(init)) {
      const { remark = "Give that of its model with --tokenizer" } = treeOf(init)
      throw new Error(`${init} has no tokenizer. ${remark}`)
    }
  }
  const isAlone = Object.keys(given).length === 0
  const whole = (): Settings => {
    const all = withFlags(shortened(base, given, from), given)
    const isText = typeof all.data === "string" && !/\.ya?ml$/i.test(all.data)
    const held = isText && all.evalEvery !== 0 ? { validation: defaultHeldOut } : {}
    return refuseIdle(
      checkSettings({ ...held, ...all }, isAlone ? from : "settings", inFile),
      given,
    )
  }
  // What is wrong with the file is so without flags too.
  shortened(base, {}, from)
  return isAlone ? whole() : asUsage(whole)
}

async function resumed(resume: string, given: Given): Promise<Settings> {
  if (!existsSync(resume))
    throw new Error(`There is nothing at ${resume}. Give the folder of a run`)
  const checkpoint = await checkpointOf(resume)
  const { settings, step } = await readRunState(checkpoint)
  if (Number(given.steps) < step) {
    throw usageError(`--steps is ${given.steps}, and the run has made ${step} updates. Give more`)
  }
  // A run that was moved goes on where it is now.
  const before: Record<string, unknown> = moved(settings, dirname(checkpoint))
  for (const [field, value] of Object.entries(given)) {
    if (fields[field as Field].isFree) continue
    if (JSON.stringify(before[field]) === JSON.stringify(value)) continue
    throw usageError(
      `${typed(field as Field)} is ${show(value)}, the run that is resumed has ` +
        `${show(before[field])}. Leave it out, or start a new run from --init`,
    )
  }
  return asUsage(() => refuseIdle(checkSettings({ ...before, ...given }, resume, inFile), given))
}

/** Throws for a flag that would change nothing. */
function refuseIdle(settings: Settings, given: Given): Settings {
  for (const field of fieldNames) {
    const [other, value] = fields[field].idle ?? []
    if (given[field] === undefined || other === undefined) continue
    if (settings[other as Field] !== value) continue
    const why = `${typed(other as Field)} is ${value}`
    throw usageError(`${typed(field)} has no effect: ${why}. Leave it out`)
  }
  return settings
}

/** The settings of a run that lies in `out` now; its data, where it came along, is found beside it. */
function moved(settings: Settings, out: string): Settings {
  const { data, out: before } = settings
  if (typeof data !== "string" || existsSync(data) || typeof before !== "string") {
    return { ...settings, out }
  }
  const there = resolve(out, relative(before, data))
  return { ...settings, out, data: existsSync(there) ? there : data }
}

/** A configuration file's path and fields; paths in it count from its folder. */
async function readConfig(name: string): Promise<[string, Record<string, unknown>]> {
  const shipped = resolve(configFolder, `${name}.yaml`)
  const file = !/[\\/.]/.test(name) && existsSync(shipped) ? shipped : resolve(name)
  if (!existsSync(file)) {
    const near = suggestion(name, configNames)
    const also = near || `. There are: ${configNames.join(", ")}`
    throw new Error(
      `Cannot open ${name}: no such file, and the package has no configuration of it${also}`,
    )
  }
  const json = await readYaml(file)
  if (!isObject(json)) throw new TypeError(`${file}: expected fields, such as steps: 1000`)
  const from = (value: unknown, field?: Field): unknown => {
    if (typeof value !== "string" || value === "byte") return value
    const there = resolve(dirname(file), value)
    return field === undefined || existsSync(there) || isPlace(field, value) ? there : value
  }
  const own: Record<string, unknown> = { ...json }
  for (const field of namesWhere(({ isPath }) => isPath)) {
    const value = json[field]
    if (isObject(value)) own[field] = { ...value, root: from(value.root ?? ".") }
    else if (value !== undefined) own[field] = from(value, field)
  }
  return [file, { ...fieldsOfFile(own, file) }]
}
