// `elm bench roofline` and `elm bench drive`: what can be said of a GPU where there is none.
import { type Command, Option } from "commander"
import { modelNames } from "../model/index.ts"
import { models, whole } from "./arguments.ts"
import { benchDrive, type DriveFlags, driveTable } from "./drive.ts"
import { cacheOption, dtypeOption, headings, jsonOption, repeatOption } from "./options.ts"
import { checkJson, finish, type JsonFlag, tabulate } from "./output.ts"
import { paperGeneratedTokens, paperPromptTokens } from "./paper.ts"
import {
  dispatchMicroseconds,
  gpus,
  predict,
  type RooflineFlags,
  rooflineTable,
} from "./roofline.ts"

const modelOption = (text: string) =>
  new Option("--model <names>", text).argParser(models).helpGroup(headings.model)

export function addGpu(bench: Command): void {
  bench
    .command("roofline")
    .description("predict what three GPUs could do at most, from the recorded plans")
    .addOption(modelOption("sizes to predict").default([...modelNames], modelNames.join(",")))
    .addOption(dtypeOption("").default("bf16"))
    .addOption(cacheOption())
    .addOption(
      new Option("--context <n>", "positions that the key-value cache holds")
        .argParser(whole(paperPromptTokens + 1, 2048))
        .default(paperPromptTokens + paperGeneratedTokens)
        .helpGroup(headings.measurement),
    )
    .addOption(jsonOption())
    .action((flags: RooflineFlags & JsonFlag) => runRoofline(flags))
  bench
    .command("drive")
    .description("time handing a token's plan to a GPU, without a GPU")
    .addOption(modelOption("sizes to drive").default(["270M"], "270M"))
    .addOption(dtypeOption("").default("bf16"))
    .addOption(cacheOption())
    .addOption(repeatOption("measurements of 200 tokens each", 9))
    .addOption(jsonOption())
    .action((flags: DriveFlags & JsonFlag) =>
      tabulate("elm-bench-drive/1", flags, benchDrive, driveTable),
    )
}

async function runRoofline(flags: RooflineFlags & JsonFlag): Promise<void> {
  checkJson(flags)
  const rows = await predict(flags)
  const result = { schema: "elm-bench-roofline/1", gpus, dispatchMicroseconds, rows }
  await finish(rooflineTable(rows), result, flags)
}
