// Folders of this engine: in 8 or 4 bits the panels that a backend keeps, else as `save` writes them.

import { configJson } from "../../config.ts"
import { folderAtomically } from "../../files/atomic.ts"
import { weightDTypes } from "../../weights/layout.ts"
import type { PlainDType } from "../header.ts"
import { writeQuantized } from "../quantize.ts"
import { isQuantized } from "../quantized_format.ts"
import { onlyFinite, writeFolder } from "../saving.ts"
import { type CheckpointWriter, filesBeside, plainTensor, publishedOf } from "../writer.ts"

export const elm: CheckpointWriter = {
  name: "elm",
  writes: "a folder that loads without packing",
  dtypes: weightDTypes,
  async write(request) {
    const { model, path, dtype, progress } = request
    const files = await filesBeside(request)
    if (!isQuantized(dtype)) {
      const tensors = publishedOf(request).map((tensor) => {
        return [tensor.name, plainTensor(tensor, dtype as PlainDType)] as const
      })
      const finite = onlyFinite(new Map(tensors))
      const parts = { config: configJson(model.config), tensors: finite, mark: "pt", files }
      return folderAtomically(path, (folder) => writeFolder(folder, parts))
    }
    if (model.format) {
      throw new RangeError(
        `${model.name} holds weights in ${model.format} already. Give the model that it was made from`,
      )
    }
    const backend = await request.backend()
    await folderAtomically(path, (folder) =>
      writeQuantized(model, folder, backend, dtype, progress, files),
    )
  },
}
