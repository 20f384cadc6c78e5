// The settings of `elm train` as a command line has them: an option for each field, and how these, a
// configuration and a run that goes on become one. What is wrong with a flag is wrong usage.
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, resolve } from "node:path"
import { meansPath, tokenizerIn, tokenizerOfModel, treeOf } from "../../model/index.ts"
import { readRunState } from "../../train/run/checkpoint.ts"
import { type Settings, trainFields } from "../../train/run/fields.ts"
import { checkSettings, fieldsOfFile, shortened, withFlags } from "../../train/run/settings.ts"
import { inFile } from "../../train/spelling.ts"
import { asUsage, path, usageError } from "./arguments.ts"
import {
  checkpointToResume,
  configBesideResume,
  configsIn,
  flagsOf,
  type Given,
  givenOf,
  moved,
  readConfig,
  refuseChanged,
  refuseIdle,
  resumeFlag,
} from "./fields.ts"
import { under, valued } from "./flags.ts"
import { headings } from "./options.ts"

interface SettingsFlags {
  readonly config: string
  readonly resume?: string
  readonly [field: string]: unknown
}

/** Configurations that come with the package. */
const configs = configsIn("")
const defaultConfig = "austen"
/** The part of a text that is held out for validation. */
const defaultHeldOut = 0.05

/** A flag for each field, and for where the others come from. */
export const settingFlags = {
  ...under(headings.run, {
    config: valued(
      "<name>",
      `a YAML file, or one of ${configs.names.join(", ")}`,
      path,
      defaultConfig,
    ),
  }),
  ...resumeFlag,
  ...flagsOf(trainFields, (field) => (defaults() as Given)[field]),
}

/** The settings of the configuration that is taken where none is given. */
function defaults(): Settings {
  const { parse } = createRequire(import.meta.url)("yaml") as typeof import("yaml")
  const file = resolve(configs.folder, `${defaultConfig}.yaml`)
  return checkSettings(fieldsOfFile(parse(readFileSync(file, "utf8")), file), file, inFile)
}

/** Settings from the configuration or the checkpoint, with the flags' values in their places. */
export async function settingsOf(flags: SettingsFlags, hasConfig: boolean): Promise<Settings> {
  const given = givenOf(trainFields, flags)
  if (flags.resume === undefined) return started(flags, given)
  if (hasConfig) throw configBesideResume()
  return resumed(flags.resume, given)
}

/** Whether first weights, a folder or a file of them, bring their tokenizer. */
async function hasTokenizer(init: string): Promise<boolean> {
  if (treeOf(init).file === undefined && (await tokenizerIn(init)) !== undefined) return true
  // A file of weights may hold one; those of a repository are not fetched to see that.
  const isHere = meansPath(init) ? existsSync(init) : treeOf(init).file !== undefined
  return isHere && (await tokenizerOfModel(init)) !== undefined
}

async function started({ config }: SettingsFlags, given: Given): Promise<Settings> {
  const [from, base] = await readConfig(trainFields, configs, config)
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
      trainFields,
      checkSettings({ ...held, ...all }, isAlone ? from : "settings", inFile),
      given,
    )
  }
  // What is wrong with the file is so without flags too.
  shortened(base, {}, from)
  return isAlone ? whole() : asUsage(whole)
}

async function resumed(resume: string, given: Given): Promise<Settings> {
  const checkpoint = await checkpointToResume(resume)
  const { settings, step } = await readRunState(checkpoint)
  if (Number(given.steps) < step) {
    throw usageError(`--steps is ${given.steps}, and the run has made ${step} updates. Give more`)
  }
  // A run that was moved goes on where it is now.
  const before: Record<string, unknown> = moved(settings, dirname(checkpoint))
  refuseChanged(trainFields, before, given, "start a new run from --init")
  const whole = () => checkSettings({ ...before, ...given }, resume, inFile)
  return asUsage(() => refuseIdle(trainFields, whole(), given))
}
