// Which targets count: of a folder in Hugging Face's format all of them, its end of text too.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openWasm } from "../backends/wasm/index.ts"
import { OpenELM } from "../model/index.ts"
import { createTrainStep, lossAndGradients } from "../train/index.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

/** Loss and embedding gradient of a batch that ends in token 2, with a config's padding fields. */
async function endOfText(padding: Record<string, unknown>) {
  const folder = goldenFolder()
  const path = join(folder.path, "config.json")
  const { padding_index, ...rest } = JSON.parse(readFileSync(path, "utf8"))
  writeFileSync(path, JSON.stringify({ ...rest, eos_token_id: 2, ...padding }))
  await using backend = await openWasm({ threads: 1 })
  const model = await OpenELM.load(folder.path, { backend })
  const step = await createTrainStep(model)
  const { ce, gradients } = await lossAndGradients(model, [[1, 9, 8, 2]], [[9, 8, 2, 2]])
  const { ignoreIndex } = step.state.settings
  await step.close()
  await model.close()
  folder.remove()
  return { ce, ignoreIndex, gradient: gradients["token_embeddings.weight"] as Float32Array }
}

t.test("a folder whose pad_token_id is its end of text learns to end", async (t) => {
  const [none, pad, own] = [
    await endOfText({}),
    await endOfText({ pad_token_id: 2 }),
    await endOfText({ padding_index: 2 }),
  ]
  t.equal(none.ignoreIndex, 128, "no id is ignored")
  t.same(pad, none, "with a pad token as without")
  t.equal(own.ignoreIndex, 2, "CoreNet's field is heeded")
  t.not(own.ce, none.ce)
  t.not(own.gradient.join(), none.gradient.join())
})
