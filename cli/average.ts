// `elm average`: one model of the checkpoints of a run.
import { existsSync } from "node:fs"
import { folderAtomically, pathToWrite, printable } from "../model/index.ts"
import { averageModels } from "../train/run/average.ts"
import { checkpointsIn } from "../train/run/checkpoint.ts"
import { path, paths } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { positional } from "./line/flags.ts"
import { checkEmpty } from "./terminal/files.ts"

export const average = command({
  name: "average",
  description: "average the weights of checkpoints, as the release did",
  arguments: [
    positional("<out>", "the model folder to write, new or empty", path),
    positional("<checkpoints...>", "two or more, or one run for those that it has kept", paths),
  ],
  async run(_, { args: [target, given] }) {
    const out = pathToWrite(target, "<out>")
    const [run] = given as [string]
    for (const each of given) if (!existsSync(each)) throw new Error(`There is nothing at ${each}`)
    const folders = given.length === 1 ? await checkpointsIn(run) : given
    if (folders.length < 2) {
      throw new RangeError(`${run} holds ${folders.length} checkpoints, expected two or more`)
    }
    checkEmpty(out)
    await folderAtomically(out, (folder) => averageModels(folders, folder))
    const from = `${folders.length} checkpoints: ${folders.join(", ")}`
    console.log(printable(`${out} holds the average of ${from}`))
  },
})
