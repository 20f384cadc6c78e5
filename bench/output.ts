// How a measurement ends: a table for a person, a last line of JSON for a program that reads along.
import { checkWritable, writeWhole } from "./files.ts"
import { machine } from "./machine.ts"
import { jsonText } from "./printable.ts"
import { type Report, reporter } from "./progress.ts"

export interface JsonFlag {
  /** true where no file is named: then JSON takes the place of the table. */
  readonly json?: string | true
}

/** Throws where the file that is asked for could not be written: before anything is measured. */
export function checkJson({ json }: JsonFlag): void {
  if (typeof json === "string") checkWritable(json)
}

/** Prints the text, and the line of JSON where no terminal shows it; writes the line to the file. */
export async function finish(text: string, result: object, { json }: JsonFlag): Promise<void> {
  const line = jsonText(result)
  // The file first: nobody may read what is printed, and then the process ends.
  if (typeof json === "string") await writeWhole(json, `${line}\n`)
  if (json !== true) console.log(text)
  if (json === true || !process.stdout.isTTY) console.log(line)
}

/** Measures, with progress, and prints what was found. */
export async function tabulate<F extends JsonFlag, R>(
  schema: string,
  flags: F,
  measureRows: (flags: F, report: Report) => Promise<readonly R[]>,
  tableOf: (rows: readonly R[]) => string,
): Promise<void> {
  const report = reporter()
  checkJson(flags)
  try {
    const rows = await measureRows(flags, report)
    report.done()
    await finish(tableOf(rows), { schema, machine: machine(), rows }, flags)
  } finally {
    report.done()
  }
}
