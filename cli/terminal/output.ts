// How a measurement ends: a table for a person, a last line of JSON for a program that reads along.
import { machine } from "../../bench/measure/machine.ts"
import type { Report } from "../../bench/measure/report.ts"
import { printable } from "../../model/index.ts"
import { checkWritable, writeWhole } from "./files.ts"
import { reporter } from "./progress.ts"
import { type TableOf, tableText } from "./table.ts"

interface JsonFlag {
  /** true where no file is named: then JSON takes the place of the table. */
  readonly json?: string | true
}

/** Throws where the file that is asked for could not be written: before anything is measured. */
function checkJson({ json }: JsonFlag): void {
  if (typeof json === "string") checkWritable(json)
}

/** Prints the text, and the line of JSON where no terminal shows it; writes the line to the file. */
async function finish(text: string, result: object, { json }: JsonFlag): Promise<void> {
  // One line, whose escapes are JSON's.
  const line = printable(JSON.stringify(result), "line")
  // The file first: nobody may read what is printed, and then the process ends.
  if (typeof json === "string") await writeWhole(json, `${line}\n`)
  if (json !== true) console.log(text)
  if (json === true || !process.stdout.isTTY) console.log(line)
}

/** Measures with progress, and prints what `result` makes of it. */
export async function measured<M>(
  flags: JsonFlag,
  measure: (report: Report) => Promise<M>,
  result: (found: M) => { readonly text: string; readonly json: object },
): Promise<void> {
  const report = reporter()
  checkJson(flags)
  try {
    const found = await measure(report)
    report.done()
    const { text, json } = result(found)
    await finish(text, json, flags)
  } finally {
    report.done()
  }
}

/** The same of rows, which are printed as a table. */
export const tabulate = <Row>(
  schema: string,
  flags: JsonFlag,
  table: TableOf<Row>,
  measure: (report: Report) => Promise<readonly Row[]>,
): Promise<void> =>
  measured(flags, measure, (rows) => ({
    text: tableText(table, rows),
    json: { schema, machine: machine(), rows },
  }))
