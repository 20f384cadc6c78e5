// Learning rates and epochs of which several are given, and the table of what their runs came to.
import { InvalidArgumentError } from "commander"
import { printable } from "../../model/index.ts"
import type { FieldList } from "../../train/run/field_list.ts"
import { fieldProblem, parseValue } from "../../train/run/settings.ts"
import { bestOf, type GridResult } from "../../train/tune/grid.ts"
import { type TableOf, tableText } from "../terminal/table.ts"
import type { Given } from "./fields.ts"
import type { Flag, Flags } from "./flags.ts"

const several = ["lr", "epochs"] as const

/** The flags of a list, of which these take several values. */
export function gridFlags(list: FieldList, flags: Flags): Flags {
  const own = several.map((field): [string, Flag<unknown>] => {
    const parse = (text: string): unknown => {
      const values = text.split(",").map((part) => parseValue(field, part, list))
      for (const value of values) {
        const problem = fieldProblem(field, value, list)
        if (problem) throw new InvalidArgumentError(`Expected ${problem}, or several with commas.`)
      }
      return values.length === 1 ? values[0] : values
    }
    const flag = flags[field] as Flag<unknown>
    return [field, { ...flag, value: "<values>", text: `${flag.text}; several make a grid`, parse }]
  })
  return { ...flags, ...Object.fromEntries(own) }
}

/** The values of a grid, if several are given of one, and the other flags with the first of each. */
export function gridOf(given: Given, usual: (field: string) => unknown) {
  if (!several.some((field) => Array.isArray(given[field]))) return undefined
  const values = (field: string): readonly number[] => {
    const value = given[field] ?? usual(field)
    return (Array.isArray(value) ? value : [value]) as readonly number[]
  }
  const [lr, epochs] = [values("lr"), values("epochs")]
  return { grid: { lr, epochs }, first: { ...given, lr: lr[0], epochs: epochs[0] } }
}

const gridTable: TableOf<GridResult> = {
  columns: [
    { name: "lr", rank: 0, text: ({ lr }) => String(lr) },
    { name: "epochs", rank: 0, text: ({ epochs }) => epochs },
    { name: "updates", rank: 2, text: ({ step }) => step },
    { name: "best at", rank: 2, text: ({ best }) => best },
    { name: "validation loss", rank: 0, text: ({ loss }) => loss.toFixed(4) },
    {
      name: "accuracy at the end",
      rank: 1,
      text: ({ last }) =>
        "rewards/accuracies" in last ? last["rewards/accuracies"].toFixed(3) : undefined,
    },
    { name: "folder", rank: 3, left: true, text: ({ folder }) => folder },
  ],
}

/** The table, and the best by name. */
export function gridText(results: readonly GridResult[], out: string): string {
  const best = bestOf(results)
  const table = tableText({ ...gridTable, title: `grid in ${out}` }, results)
  return printable(
    `${table}\nThe best is ${out}/${best.folder}: validation loss ${best.loss.toFixed(4)} at update ` +
      `${best.best}; ${out}/grid.svg has all of them`,
  )
}
