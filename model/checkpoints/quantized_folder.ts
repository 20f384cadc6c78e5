// Folders that `elm quantize` wrote: the Hugging Face layout, its matrices in the panels of 8 or 4 bits
// that a backend keeps, so that they are copied as they are.
import { isObject } from "../json.ts"
import type { CheckpointFormat } from "./checkpoint.ts"
import { formatIn } from "./quantized_format.ts"
import { openFolder } from "./safetensors_folder.ts"
import { weightsFiles } from "./shards.ts"

export const quantizedFolder: CheckpointFormat = {
  name: "weights of elm quantize",
  files: weightsFiles,
  async open(candidate) {
    const config = await candidate.json("config.json")
    const format = isObject(config?.value) ? formatIn(config.value) : undefined
    return format && openFolder(candidate, config, format)
  },
}
