// `elm quantize`: writes a model folder whose matrices are the panels of 8 or 4 bits that a backend
// keeps, so that it loads without packing.
import { downloading } from "../bench/measure/report.ts"
import {
  bytesText,
  folderAtomically,
  type Made,
  type OpenedModel,
  openModel,
  parameterCount,
  pathToWrite,
  printable,
  quantizedFormats,
  threeDigits,
  writeQuantized,
} from "../model/index.ts"
import { path } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { choice, positional, required, type ValuesOf } from "./line/flags.ts"
import { openFor } from "./line/open.ts"
import { threads } from "./line/options.ts"
import { secondsSince } from "./terminal/amounts.ts"
import { checkEmpty } from "./terminal/files.ts"
import { reporter } from "./terminal/progress.ts"

const flags = {
  dtype: required(choice("format of the matrices", quantizedFormats)),
  ...threads,
}

export const quantize = command({
  name: "quantize",
  description: "write a model folder with weights of 8 or 4 bits, which loads as it is",
  arguments: [
    positional("<source>", "a model folder", path),
    positional("<out>", "the folder to write, new or empty", path),
  ],
  flags,
  async run(flags, { args: [source, target] }) {
    const out = pathToWrite(target, "<out>")
    checkEmpty(out)
    const report = reporter()
    const folder = await openModel(source, downloading(report)).finally(report.done)
    try {
      if (folder.format) {
        throw new RangeError(
          `${source} holds weights in ${folder.format} already. Give the model that it was made from`,
        )
      }
      console.log(printable(await folderAtomically(out, (fresh) => write(folder, fresh, flags))))
    } finally {
      await folder.close()
    }
  },
})

/** Writes the folder and says what came of it. */
async function write(
  folder: OpenedModel,
  out: string,
  given: ValuesOf<typeof flags>,
): Promise<string> {
  const { config } = folder
  const { dtype, threads } = given
  const report = reporter()
  await using backend = await openFor({ backend: "wasm", threads, revectorize: true })
  const start = performance.now()
  const progress = (done: number, total: number) => report("quantizing", done / total)
  let made: Made
  try {
    made = await writeQuantized(folder, out, backend, dtype, progress)
  } finally {
    report.done()
  }
  const seconds = secondsSince(start)
  const error = made.squares > 0 ? Math.sqrt(made.errors / made.squares) : 0
  return (
    `${config.name}, ${(parameterCount(config) / 1e6).toFixed(1)} M weights: ` +
    `${bytesText(made.before)} to ${bytesText(made.after)} in ${dtype}, ${seconds} s\n` +
    `relative RMS error of the matrices ${threeDigits(error)}, over all of their numbers`
  )
}
