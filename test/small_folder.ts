// The folder of a small random model with the byte tokenizer and a long context, for commands.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { normalAt } from "../engine/index.ts"
import { loadTokenizer, scaledConfig } from "../index.ts"
import { configJson, tensorShapes, writeSafetensors } from "../model/index.ts"

/** Writes it; the result is the tokenizer's file. */
export async function writeSmallModel(dir: string, maxContext = 4096) {
  const config = scaledConfig({
    ...{ name: "small", layers: 2, modelDim: 64, headDim: 16, vocabSize: 260 },
    ...{ maxContext, queryHeadsPerKeyHead: 2 },
  })
  const tensors = [...tensorShapes(config)].map(([name, { shape }], stream) => {
    const length = shape.reduce((a, b) => a * b, 1)
    const data = Float32Array.from({ length }, (_, k) => 0.2 * normalAt(1, stream, 0, k))
    return [name, { dtype: "F32", shape, data }] as const
  })
  await writeSafetensors(join(dir, "model.safetensors"), new Map(tensors))
  writeFileSync(join(dir, "config.json"), JSON.stringify(configJson(config)))
  const { file } = await loadTokenizer("byte")
  writeFileSync(join(dir, file.name), file.bytes)
  return file
}
