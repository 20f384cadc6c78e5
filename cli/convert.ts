// `elm convert`: a model of any format, written in another.
import type { OpenBackend } from "../backends/index.ts"
import {
  bytesText,
  loadTokenizer,
  openModel,
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
  description: "write a model of any format in another: Hugging Face, MLX, GGUF, or this engine's",
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
    const model = await openModel(source)
    try {
      console.log(printable(await write(model, out, writer, flags)))
    } finally {
      await model.close()
    }
  },
})

/** Writes the model and says what came of it. */
async function write(
  model: Awaited<ReturnType<typeof openModel>>,
  out: string,
  writer: ReturnType<typeof writerNamed>,
  given: ValuesOf<typeof flags>,
): Promise<string> {
  const { dtype, threads, tokenizer } = given
  const report = reporter()
  const start = performance.now()
  let backend: Promise<OpenBackend> | undefined
  const opened = (): Promise<OpenBackend> => {
    backend ??= openFor({ backend: "wasm", threads, revectorize: true })
    return backend
  }
  try {
    await writer.write({
      ...{ model, path: out, dtype, backend: opened },
      tokenizer: await tokenizerOf(tokenizer),
      progress: (done, total) => report("converting", done / total),
    })
  } finally {
    report.done()
    await (await backend)?.close()
  }
  const { config } = model
  return (
    `${config.name}, ${(parameterCount(config) / 1e6).toFixed(1)} M weights in ${dtype}: ` +
    `${out} is ${writer.writes}, ${bytesText(bytesAt(out))}, ${secondsSince(start)} s`
  )
}

const tokenizerOf = async (given: string | false | undefined) =>
  typeof given === "string" ? loadTokenizer(given) : given === false ? null : undefined
