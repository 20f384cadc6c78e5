// A model of any format written in another, in one call.
import { type Backend, checkObject } from "../engine/index.ts"
import type { DecoderConfig } from "./architecture.ts"
import type { WrittenFormat } from "./checkpoints/writer.ts"
import { writerNamed } from "./checkpoints/writers.ts"
import type { Waiting } from "./files/http.ts"
import { type FileSource, pathToWrite } from "./files/source.ts"
import { type TokenizerOption, tokenizerFrom } from "./generate/text.ts"
import { openModel } from "./opened.ts"
import type { WeightDType } from "./weights/layout.ts"
import type { Progress } from "./weights/weights.ts"

/** How a model is written. */
export interface ConvertOptions extends Waiting {
  /** "hf": a folder of the Hugging Face layout; "mlx": one of mlx-lm; "gguf": a file of llama.cpp;
   *  "elm": a folder of this package; "onnx": a folder for onnxruntime, of OpenELM alone. */
  readonly to: WrittenFormat
  /** Of the matrices: f32, f16 or bf16, of which "onnx" has f32 alone; q8 and q4 are the format's own,
   *  which "hf" has none of. */
  readonly dtype: WeightDType
  /** Where weights in this package's panels are made or read ("elm" in q8 and q4, folders of `elm
   *  quantize`), or what opens it then; nothing else needs one. */
  readonly backend?: Backend | (() => Promise<Backend>)
  /** Another tokenizer than the model's own, or null for none. */
  readonly tokenizer?: TokenizerOption
  /** Called as numbers are written, with those done and all. */
  readonly onProgress?: Progress
}

/**
 * Writes a model of any form in another, piece by piece, into a folder or a file that appears when it is
 * whole: its config. Throws Error for files that are not there, SyntaxError for those that do not parse,
 * RangeError for a dtype that the format does not hold and for numbers that the dtype does not.
 */
export async function convert(
  source: FileSource,
  target: string | URL,
  options: ConvertOptions,
): Promise<DecoderConfig> {
  checkObject("convert: options", options)
  const path = pathToWrite(target, "convert: the target")
  const { to, dtype, backend, tokenizer: given, onProgress: progress, ...waiting } = options
  const writer = writerNamed(to, dtype)
  const model = await openModel(source, waiting, "convert: the source")
  try {
    const isOwn = given === undefined || given === null
    const tokenizer = isOwn ? given : await tokenizerFrom(given, waiting)
    const opened = (): Promise<Backend> => backendFor(backend)
    await writer.write({ model, path, dtype, tokenizer, progress, backend: opened })
    return model.config
  } finally {
    await model.close()
  }
}

async function backendFor(given: ConvertOptions["backend"]): Promise<Backend> {
  const backend = typeof given === "function" ? await given() : given
  if (typeof backend?.prepare === "function") return backend
  throw new TypeError('convert: these weights need a backend: { backend: await open("wasm") }')
}
