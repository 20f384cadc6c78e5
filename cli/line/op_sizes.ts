// `elm bench ops --sizes`: cases of an op that a person writes, checked against those that it has.
import { InvalidArgumentError } from "commander"
import { caseName, outlineCase } from "../../bench/measure/cases.ts"
import { type Case, type DType, isDType, type Op } from "../../engine/index.ts"
import { decimal } from "../../model/index.ts"
import { several, usageError } from "./arguments.ts"

type Value = number | DType | readonly number[]

/** Most numbers in one tensor of a case. */
const most = 2 ** 30

/** One more case of sizes, attributes and dtypes by name; shapes as 3·31 or 3x31. */
export const opSizes = several((text): Case => {
  const entries = text.split(",").map((part): readonly [string, Value] => {
    const [name = "", text = ""] = part.split("=")
    const value = valueIn(text)
    if (/^\w+$/.test(name) && value !== undefined) return [name, value]
    throw new InvalidArgumentError(`Expected NAME=VALUE separated by commas, got ${part}.`)
  })
  return Object.fromEntries(entries)
})

function valueIn(text: string): Value | undefined {
  if (isDType(text)) return text
  const numbers = text.split(/[·x]/).map(decimal)
  if (!numbers.every(Number.isFinite)) return undefined
  return numbers.length === 1 ? numbers[0] : numbers
}

/** The case as the op has its own. Throws what is wrong with it as wrong usage. */
export function checkedCase(op: Op, test: Case): Case {
  const fail = (problem: string): never => {
    throw usageError(
      `--sizes of ${op.name}: ${problem}. It takes ` +
        `${wanted.join(", ")}, such as ${caseName(op, example).slice(op.name.length + 1)}`,
    )
  }
  const example = op.cases[0] as Case
  const known = new Set(op.cases.flatMap(Object.keys))
  const wanted = [...known].filter((key) => op.cases.every((each) => each[key] !== undefined))
  const types = op.inputs.map((name) => `${name}Type`)
  for (const [key, value] of Object.entries(test)) {
    if (!known.has(key) && !types.includes(key)) fail(`there is no ${key}`)
    const like = key.endsWith("Type") ? "f32" : (kindIn(op, key) ?? value)
    if (isNumeric(like) !== isNumeric(value)) fail(`${key} is ${value}, expected ${kindName(like)}`)
    const isSize = Array.isArray(like) || /^[A-Z]/.test(key)
    const numbers = [value].flat() as (number | DType)[]
    if (isSize && !numbers.every((x) => Number.isInteger(x) && Number(x) >= 0)) {
      fail(`${key} is ${value}, expected whole numbers from 0`)
    }
  }
  const missing = wanted.filter((key) => test[key] === undefined)
  if (missing.length > 0) fail(`${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing`)
  // A tensor's shape is a list also where it has one axis.
  const whole = Object.entries(test).map(([key, value]) => [
    key,
    Array.isArray(kindIn(op, key)) ? [value].flat() : value,
  ])
  const made = Object.fromEntries(whole) as Case
  const { inputs } = outlined(op, made)
  const large = inputs.findIndex(({ size }) => size > most)
  if (large >= 0) fail(`${op.inputs[large]} would hold ${inputs[large]?.size} numbers`)
  return made
}

const kindIn = (op: Op, key: string): Value | undefined =>
  op.cases.find((each) => each[key] !== undefined)?.[key]

const isNumeric = (value: Value): boolean => typeof value !== "string"

const kindName = (like: Value): string => (isNumeric(like) ? "a number" : "a dtype")

function outlined(op: Op, test: Case) {
  try {
    return outlineCase(op, test)
  } catch (error) {
    throw usageError(`--sizes: ${(error as Error).message}`)
  }
}
