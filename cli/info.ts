// `elm info`: what a model is, what its files hold, and what it takes to run it.
import { createHash } from "node:crypto"
import { createReadStream, existsSync, statSync } from "node:fs"
import { downloading } from "../bench/measure/report.ts"
import { bytesText, describeModel, type ModelDescription, printable } from "../model/index.ts"
import { path } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { type Flag, positional } from "./line/flags.ts"
import { json } from "./line/options.ts"
import { bold } from "./terminal/colour.ts"
import { measured } from "./terminal/output.ts"

/** A file of weights; of one that is on no disk, only its name. */
interface FileFacts {
  readonly name: string
  readonly bytes?: number
  readonly sha256?: string
}

export const info = command({
  name: "info",
  description: "say what a model is: its family, sizes, dtypes, tokenizer, hashes, memory",
  arguments: [positional("<source>", "a model folder, a .pt or .gguf file, or a URL of one", path)],
  flags: {
    hashes: { no: "leave the hashes of the files out, which read all of them" } as Flag<boolean>,
    ...json,
  },
  run: (flags, { args: [source] }) =>
    measured(
      flags,
      async (report) => {
        const model = await describeModel(source, downloading(report))
        const files: FileFacts[] = []
        for (const name of model.files) {
          files.push(await factsOf(name, flags.hashes, (part) => report(`hashing ${name}`, part)))
        }
        return { ...model, files }
      },
      (found) => ({
        text: printable(textOf(found)),
        json: { schema: "elm-info/1", ...found },
      }),
    ),
})

async function factsOf(
  name: string,
  isHashed: boolean,
  progress: (part: number) => void,
): Promise<FileFacts> {
  if (!existsSync(name)) return { name }
  const { size: bytes } = statSync(name)
  if (!isHashed) return { name, bytes }
  const hash = createHash("sha256")
  let done = 0
  for await (const piece of createReadStream(name, { highWaterMark: 1 << 20 })) {
    hash.update(piece as Buffer)
    done += (piece as Buffer).length
    progress(done / bytes)
  }
  return { name, bytes, sha256: hash.digest("hex") }
}

function textOf(model: Omit<ModelDescription, "files"> & { files: readonly FileFacts[] }): string {
  const { name, family, format, parameters, layers, tensors, memory, tokenizer } = model
  const each = (of: (layer: (typeof layers)[number]) => number): string => layers.map(of).join(" ")
  const amounts = (list: Readonly<Record<string, number>>): string =>
    Object.entries(list)
      .map(([dtype, bytes]) => `${dtype} ${bytesText(bytes)}`)
      .join(", ")
  const tokens =
    tokenizer === null
      ? "none"
      : "error" in tokenizer
        ? tokenizer.error
        : `${tokenizer.file}, ${tokenizer.pieces} pieces`
  return [
    `${bold(name)}: ${family}, ${parameters.toLocaleString("en")} parameters, ${format}`,
    `layers ${layers.length}, D ${model.modelDim}, E ${model.headDim}, V ${model.vocabSize}, ` +
      `context ${model.maxContext}`,
    `query heads  ${each(({ queryHeads }) => queryHeads)}`,
    `key heads    ${each(({ keyHeads }) => keyHeads)}`,
    `feed-forward ${each(({ ffnDim }) => ffnDim)}`,
    `tensors: ${tensors.map(({ dtype, tensors: n, bytes }) => `${n} ${dtype} (${bytesText(bytes)})`).join(", ")}`,
    `tokenizer: ${tokens}`,
    `memory of the weights: ${amounts(memory.weights)}`,
    `memory of a full cache: ${amounts(memory.cache)}`,
    ...model.files.flatMap(({ name, bytes, sha256 }) => [
      `${name}${bytes === undefined ? "" : `: ${bytesText(bytes)}`}`,
      ...(sha256 === undefined ? [] : [`sha256 ${sha256}`]),
    ]),
  ].join("\n")
}
