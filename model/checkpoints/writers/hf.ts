// Folders of the Hugging Face layout, under the names that the release has.
import { architectureOf } from "../../architectures/index.ts"
import { configJson } from "../../config.ts"
import { folderAtomically } from "../../files/atomic.ts"
import { type PlainDType, plainDTypes } from "../header.ts"
import { onlyFinite, writeFolder } from "../saving.ts"
import { type CheckpointWriter, filesBeside, plainTensor, publishedOf } from "../writer.ts"

const torchDTypes = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const

export const hf: CheckpointWriter = {
  name: "hf",
  writes: "a folder of the Hugging Face layout",
  dtypes: plainDTypes,
  async write(request) {
    const { model, path } = request
    const dtype = request.dtype as PlainDType
    const { prefix = "" } = architectureOf(model.config)
    const tensors = publishedOf(request).map((tensor) => {
      return [`${prefix}${tensor.name}`, plainTensor(tensor, dtype)] as const
    })
    const config = { ...configJson(model.config), torch_dtype: torchDTypes[dtype] }
    const files = await filesBeside(request)
    await folderAtomically(path, (folder) =>
      writeFolder(folder, { config, tensors: onlyFinite(new Map(tensors)), mark: "pt", files }),
    )
  },
}
