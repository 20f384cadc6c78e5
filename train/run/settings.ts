// What a training run is asked for, checked: the fields of fields.ts one by one and together, with their
// defaults; and how a configuration, flags and a run that goes on become one.
import * as v from "valibot"
import { pathToWrite } from "../../model/files/source.ts"
import { decimal } from "../../model/index.ts"
import { brief, isObject, show } from "../../model/json.ts"
import { issueError, issuePath } from "../../model/schema.ts"
import { checkFields } from "../data/schema.ts"
import { codeName, type Fields, fromFile, inCode, inFile, type Spelling } from "../spelling.ts"
import { type FieldList, namesWhere, usualOf } from "./field_list.ts"
import { type Settings, trainFields } from "./fields.ts"

const sizeFields = namesWhere(trainFields, ({ isSize }) => isSize)

/** What was expected of a field's value; undefined where it is one. */
export function fieldProblem(
  field: string,
  value: unknown,
  list: FieldList = trainFields,
): string | undefined {
  return v.safeParse(list.about(field).schema, value).issues?.[0].message
}

/** The fields of a file by their names in code, its data checked. Throws TypeError or RangeError that
 *  names one as the file has it. */
export function fieldsOfFile(json: unknown, from: string): Fields {
  if (!isObject(json)) throw new TypeError(`${from}: expected fields, such as steps: 1000`)
  if (isObject(json.data)) checkFields(json.data, `${from}: data`, inFile)
  return fromFile(json, from)
}

/** A configuration file for fewer steps than it is made for: where `given` says nothing of the warm-up, that
 *  is shorter in proportion. Throws as `checkSettings` does, naming `from`. */
export function shortened(base: Fields, given: Fields, from: string): Fields {
  const sizes = base.init === undefined ? { model: "270M" } : {}
  const { steps, warmupSteps: warmup } = checkSettings({ ...sizes, ...base }, from, inFile)
  if (given.warmupSteps !== undefined || typeof given.steps !== "number") return base
  if (!(given.steps < steps)) return base
  return { ...base, warmupSteps: Math.round((warmup * given.steps) / steps) }
}

/** A configuration's fields with flags in their places. A named size stands for all sizes of the
 *  configuration but the vocabulary's, first weights for all. */
export function withFlags(base: Fields, flags: Fields): Fields {
  if (flags.init === undefined && flags.model === undefined) return { ...base, ...flags }
  const isKept = (field: string): boolean =>
    !sizeFields.includes(field) || (field === "vocabSize" && flags.init === undefined)
  return { ...Object.fromEntries(Object.entries(base).filter(([f]) => isKept(f))), ...flags }
}

/** Settings with defaults. Throws TypeError or RangeError that names `from`, and the field as it is
 *  `spelled` there. */
export function checkSettings(json: unknown, from: string, spelled: Spelling = inCode): Settings {
  const settings = checkedBy(trainFields, json, from, spelled) as unknown as Settings
  if (spelled === inCode && isObject(settings.data)) {
    checkFields(settings.data, `${from}: data`, spelled)
  }
  return checkTogether(settings, from, spelled)
}

/** The fields of a list with its defaults, each checked by itself, and where it is to write. Throws
 *  TypeError or RangeError that names `from`, and the field as it is `spelled` there. */
export function checkedBy(
  list: FieldList,
  json: unknown,
  from: string,
  spelled: Spelling,
): Readonly<Record<string, unknown>> {
  const result = v.safeParse(list.schema, json)
  if (!result.success) throw explain(list, result.issues[0], from, spelled)
  const out = pathToWrite(result.output.out as string, `${from}: out`)
  for (const field of namesWhere(list, ({ check }) => check)) {
    const value = result.output[field]
    if (value === undefined) continue
    try {
      list.about(field).check?.(String(value))
    } catch (error) {
      throw new RangeError(
        `${from}: ${spelled(field)} is ${show(value)}. ${(error as Error).message}`,
      )
    }
  }
  return { ...result.output, out }
}

function explain(
  list: FieldList,
  issue: v.BaseIssue<unknown>,
  from: string,
  spelled: Spelling,
): Error {
  const path = issuePath(issue) || "it"
  const at = brief(spelled(path))
  if (issue.type === "strict_object" && issue.expected === "never") {
    const known = codeName(path)
    const isKnown = list.names.includes(known)
    const next = isKnown ? `It is ${spelled(known)}` : `${list.command} --help lists them`
    return new RangeError(`${from}: there is no field ${at}. ${next}`)
  }
  const message = `${from}: ${at} is ${show(issue.input)}, expected ${issue.message}`
  return issueError(issue, message)
}

/** Settings as a run has written them: with every field that has a default. Throws as `checkSettings`
 *  does: a default in place of what the run had would be another run. */
export function checkWritten(written: Fields, from: string): Settings {
  const json = fieldsOfFile(written, from)
  checkComplete(trainFields, json, from)
  return checkSettings(json, from, inFile)
}

/** Throws TypeError naming a field that has a default, and that a run has not written. */
export function checkComplete(list: FieldList, json: Fields, from: string): void {
  for (const field of list.names) {
    if (usualOf(list, field) === undefined || json[field] !== undefined) continue
    throw new TypeError(`${from}: ${inFile(field)} is missing, expected what the run had`)
  }
}

function checkTogether(settings: Settings, from: string, spelled: Spelling): Settings {
  const { batchSize, accumulation, steps, warmupSteps, lr, minLr = 0 } = settings
  const { model, layers, dim, init, data, validation } = settings
  if (typeof validation === "string" && typeof data !== "string") {
    throw new RangeError(`${from}: validation is a path, and data names its own. Leave it out`)
  }
  if (batchSize % accumulation !== 0) {
    throw new RangeError(
      `${from}: ${spelled("batchSize")} ${batchSize} does not make ${accumulation} equal micro-batches`,
    )
  }
  if (accumulation % (settings.shards ?? 1) !== 0 && settings.shards !== undefined) {
    throw new RangeError(
      `${from}: ${spelled("accumulation")} ${accumulation} is no multiple of ${settings.shards} shards`,
    )
  }
  if (warmupSteps > steps) {
    const name = spelled("warmupSteps")
    throw new RangeError(`${from}: ${name} ${warmupSteps} exceed the ${steps} steps`)
  }
  if (minLr > lr) {
    throw new RangeError(`${from}: ${spelled("minLr")} ${minLr} exceeds the lr of ${lr}`)
  }
  const size = sizeFields.find((field) => settings[field as keyof Settings] !== undefined)
  if (init !== undefined && size !== undefined) {
    throw new RangeError(`${from}: init brings its own sizes. Leave ${spelled(size)} out`)
  }
  if (model === undefined && init === undefined && (layers === undefined || dim === undefined)) {
    throw new RangeError(`${from}: give model, or init, or layers and dim`)
  }
  return settings
}

/** A flag's text as the value of a field: a number, two of them, or the text. */
export function parseValue(
  field: string,
  text: string,
  list: FieldList = trainFields,
): number | readonly number[] | string {
  if (list.about(field).isText) return text
  const numbers = text.split(",").map((part) => decimal(part.trim()))
  if (numbers.some((x) => Number.isNaN(x))) return text
  return numbers.length === 1 ? (numbers[0] as number) : numbers
}
