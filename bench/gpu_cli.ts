// `elm bench roofline` and `elm bench drive`: what can be said of a GPU where there is none.
import type { Command } from "commander"
import { modelNames } from "../model/index.ts"
import { cacheOption, dtypeOption, finish, type JsonFlag, models, tabulate, whole } from "./cli.ts"
import { benchDrive, type DriveFlags, driveTable } from "./drive.ts"
import { checkWritable } from "./files.ts"
import { paperGeneratedTokens, paperPromptTokens } from "./paper.ts"
import {
  dispatchMicroseconds,
  gpus,
  predict,
  type RooflineFlags,
  rooflineTable,
} from "./roofline.ts"

export function addGpu(bench: Command): void {
  bench
    .command("roofline")
    .description("predict what three GPUs could do at most, from the recorded plans")
    .option("--model <names>", "sizes to predict", models, [...modelNames])
    .addOption(dtypeOption("").default("bf16"))
    .addOption(cacheOption())
    .option(
      "--context <n>",
      "positions that the key-value cache holds",
      whole(paperPromptTokens + 1, 2048),
      paperPromptTokens + paperGeneratedTokens,
    )
    .option("--json <file>", "also write the result there")
    .action((flags: RooflineFlags & JsonFlag) => runRoofline(flags))
  bench
    .command("drive")
    .description("time handing a token's plan to a GPU, without a GPU")
    .option("--model <names>", "sizes to drive", models, ["270M"])
    .addOption(dtypeOption("").default("bf16"))
    .addOption(cacheOption())
    .option("--repeat <n>", "measurements of 200 tokens each", whole(1), 9)
    .option("--json <file>", "also write the result there")
    .action((flags: DriveFlags & JsonFlag) =>
      tabulate("elm-bench-drive/1", flags, benchDrive, driveTable),
    )
}

async function runRoofline(flags: RooflineFlags & JsonFlag): Promise<void> {
  if (flags.json !== undefined) checkWritable(flags.json)
  const rows = await predict(flags)
  const result = { schema: "elm-bench-roofline/1", gpus, dispatchMicroseconds, rows }
  await finish(rooflineTable(rows), result, flags)
}
