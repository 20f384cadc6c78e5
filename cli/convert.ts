// `elm convert`: a model of any format, written in another.
import type { OpenBackend } from "../backends/index.ts"
import { downloading } from "../bench/measure/report.ts"
import {
  bytesText,
  convert as convertModel,
  parameterCount,
  pathToWrite,
  printable,
  weightDTypes,
  writerNamed,
  writerNames,
} from "../model/index.ts"
import { path } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { choice, type Flag, positional, required, type ValuesOf, valued } from "./line/flags.ts"
import { openFor } from "./line/open.ts"
import { threads } from "./line/options.ts"
import { secondsSince } from "./terminal/amounts.ts"
import { bytesAt, checkEmpty, checkNew } from "./terminal/files.ts"
import { reporter } from "./terminal/progress.ts"

const flags = {
  to: required(choice("format to write", writerNames)),
  dtype: required(choice("dtype of the matrices: q8 and q4 are the format's own", weightDTypes)),
  tokenizer: {
    ...valued("<path>", "another tokenizer than the model's own", path),
    no: "write no tokenizer",
  } as Flag<string | false | undefined>,
  ...threads,
}

export const convert = command({
  name: "convert",
  description:
    "write a model of any format in another: Hugging Face, MLX, GGUF, ONNX, or this engine's",
  arguments: [
    positional("<source>", "a model folder, a .pt or .gguf file, or the URL of one", path),
    positional("<out>", "the folder to write, new or empty; or the new file, for gguf", path),
  ],
  flags,
  after:
    "Examples:\n" +
    "  elm convert checkpoint_average.pt my-model --to hf --dtype bf16\n" +
    "  elm convert my-model my-model-q8.gguf --to gguf --dtype q8",
  async run(flags, { args: [source, target] }) {
    const out = pathToWrite(target, "<out>")
    const writer = writerNamed(flags.to, flags.dtype)
    if (writer.isFile) checkNew(out)
    else checkEmpty(out)
    console.log(printable(await write(source, out, writer, flags)))
  },
})

/** Writes the model and says what came of it. */
async function write(
  source: string,
  out: string,
  writer: ReturnType<typeof writerNamed>,
  given: ValuesOf<typeof flags>,
): Promise<string> {
  const { to, dtype, threads, tokenizer } = given
  const report = reporter()
  const start = performance.now()
  let backend: Promise<OpenBackend> | undefined
  const opened = (): Promise<OpenBackend> => {
    backend ??= openFor({ backend: "wasm", threads, revectorize: true })
    return backend
  }
  try {
    const config = await convertModel(source, out, {
      ...{ to, dtype, backend: opened, ...downloading(report) },
      ...(tokenizer !== undefined && { tokenizer: tokenizer === false ? null : tokenizer }),
      onProgress: (done, total) => report("converting", done / total),
    })
    return (
      `${config.name}, ${(parameterCount(config) / 1e6).toFixed(1)} M weights in ${dtype}: ` +
      `${out} is ${writer.writes}, ${bytesText(bytesAt(out))}, ${secondsSince(start)} s`
    )
  } finally {
    report.done()
    await (await backend)?.close()
  }
}
