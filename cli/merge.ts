// `elm merge`: an adapter folded into the weights of its model.
import {
  folderAtomically,
  loadAdapter,
  mergeAdapter,
  OpenELM,
  parameterCount,
  pathToWrite,
  printable,
} from "../model/index.ts"
import { path } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { choice, positional, toggle } from "./line/flags.ts"
import { openFor } from "./line/open.ts"
import { threads } from "./line/options.ts"
import { secondsSince } from "./terminal/amounts.ts"
import { checkEmpty } from "./terminal/files.ts"
import { reporter } from "./terminal/progress.ts"

const dtypes = ["f32", "bf16", "f16"] as const

export const merge = command({
  name: "merge",
  description: "write a model with an adapter (LoRA, DoRA) folded into its weights",
  arguments: [
    positional("<source>", "a model folder, a .pt or .gguf file, or the URL of one", path),
    positional("<adapter>", "the adapter's folder, as PEFT or this package writes it", path),
    positional("<out>", "the model folder to write, new or empty", path),
  ],
  flags: {
    dtype: choice("dtype of the matrices that are written", dtypes, "f32"),
    anyBase: toggle("take an adapter that was made beside other weights than the source's"),
    dropTable: toggle("leave out the adapter of a table that also gives the logits"),
    ...threads,
  },
  async run({ dtype, anyBase, dropTable, threads }, { args: [source, adapter, target] }) {
    const out = pathToWrite(target, "<out>")
    checkEmpty(out)
    const report = reporter()
    report("loading")
    const start = performance.now()
    try {
      await using backend = await openFor({ backend: "wasm", threads, revectorize: true })
      await using model = await OpenELM.load(source, { backend })
      const loaded = await loadAdapter(model, adapter, { anyBase })
      const { kind } = loaded.config
      report("merging")
      await mergeAdapter(model, loaded, { tied: dropTable ? "drop" : "refuse" })
      await folderAtomically(out, (folder) => model.save(folder, { dtype }))
      report.done()
      const size = `${(parameterCount(model.config) / 1e6).toFixed(1)} M weights in ${dtype}`
      const { name } = model.config
      console.log(
        printable(`${out} holds ${name} with its ${kind}, ${size}, ${secondsSince(start)} s`),
      )
    } finally {
      report.done()
    }
  },
})
