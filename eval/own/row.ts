// A row as the templates of a YAML file render it: the question, the choices, the right answer.
import { show } from "../../model/json.ts"
import { parseLiteral } from "../../model/python/literal.ts"
import type { Document } from "../types.ts"
import type { TaskFields } from "./fields.ts"
import { compiled } from "./templates.ts"

export type Row = {
  readonly description: string
  readonly text: string
  /** Empty where the task has none. */
  readonly choices: readonly string[]
  /** The right answer as a text, or several. */
  readonly targets: readonly string[]
  /** Its position among the choices, -1 where it is none. */
  readonly gold: number
}

/** Reads rows. Throws SyntaxError for a template that is none. */
export async function rendered(fields: TaskFields, path: string): Promise<(row: Document) => Row> {
  const template = (value: string | number, field: string) =>
    columnOr(String(value), `${path}: ${field}`)
  const { doc_to_text, doc_to_target, doc_to_choice } = fields
  const description = await compiled(fields.description, `${path}: description`)
  const text = await template(doc_to_text, "doc_to_text")
  const target = Array.isArray(doc_to_target)
    ? () => doc_to_target
    : await template(doc_to_target as string | number, "doc_to_target")
  const choices = Array.isArray(doc_to_choice)
    ? await Promise.all(doc_to_choice.map((each) => template(each, "doc_to_choice")))
    : doc_to_choice === undefined
      ? undefined
      : await template(doc_to_choice, "doc_to_choice")
  return (row) => {
    const list = choicesOf(choices, row, `${path}: doc_to_choice`)
    const right = target(row)
    const found = targetOf(right, list !== undefined)
    const gold = typeof found === "number" ? found : (list?.indexOf(found as string) ?? -1)
    if (list && typeof found === "string" && gold < 0) {
      throw new RangeError(
        `${path}: doc_to_target is ${show(found)}, expected one of ${show(list)}`,
      )
    }
    const question = String(text(row))
    if (list && /^\d+$/.test(question)) {
      const advice = "choices that are contexts are for tasks in code"
      throw new RangeError(`${path}: doc_to_text gives a number, ${question}: ${advice}`)
    }
    return {
      description: description(row),
      text: question,
      choices: list ?? [],
      targets: list ? [list[gold] ?? ""] : [found].flat().map(String),
      gold,
    }
  }
}

/** What a template gives: the value of a column where it is the name of one, or else a text. */
async function columnOr(template: string, field: string): Promise<(row: Document) => unknown> {
  const render = await compiled(template, field)
  return (row) => (Object.hasOwn(row, template) ? row[template] : render(row))
}

type Read = (row: Document) => unknown

/** The choices as texts. Throws TypeError for what is no list of them. */
function choicesOf(
  choices: Read | readonly Read[] | undefined,
  row: Document,
  field: string,
): readonly string[] | undefined {
  if (choices === undefined) return undefined
  if (Array.isArray(choices)) return choices.map((each) => String(each(row)))
  const value = (choices as Read)(row)
  const list = typeof value === "string" ? parseLiteral(value, field) : value
  const values = typeof list === "object" && list !== null ? Object.values(list) : undefined
  if (values?.every((each) => typeof each === "string" || typeof each === "number")) {
    return values.map(String)
  }
  throw new TypeError(`${field} is ${show(list)}, expected a list of texts`)
}

/** The right answer: with choices a number where it is written as one; without them a list where it is
 *  written as one. */
function targetOf(value: unknown, hasChoices: boolean): string | number | readonly string[] {
  if (typeof value === "number") return hasChoices ? value : String(value)
  if (Array.isArray(value)) return value.map(String)
  const text = String(value)
  if (hasChoices && /^\d+$/.test(text)) return Number(text)
  if (!/^\[[\s\S]*\]$/.test(text)) return text
  try {
    const list = parseLiteral(text, "")
    return Array.isArray(list) ? list.map(String) : text
  } catch {
    // A text in brackets is a text.
    return text
  }
}
