// What the fuzzer does with a model that it can load.
import { OpenELM, open } from "../../index.ts"

export const backend = await open("wasm", { threads: 1 })

export async function useModel(folder: string): Promise<void> {
  const model = await OpenELM.load(folder, { backend })
  try {
    await model.logits([[1, 2]])
    for await (const _ of model.generate([1, 2], { maxNewTokens: 2 })) void 0
  } finally {
    await model.close()
  }
}
