// Settings of tuning runs, checked: the fields of an objective one by one and together.

import { checkComplete, checkedBy, fieldsOfFile } from "../run/settings.ts"
import { type Fields, inCode, inFile, type Spelling } from "../spelling.ts"
import type { TuneSettings } from "./fields.ts"
import type { TuneObjective } from "./objective.ts"

type Checked<S extends TuneSettings> = Pick<TuneObjective<S, never>, "list" | "check">

/** Settings with defaults. Throws TypeError or RangeError that names `from`, and the field as it is
 *  `spelled` there. */
export function checkTuneSettings<S extends TuneSettings>(
  { list, check }: Checked<S>,
  json: unknown,
  from: string,
  spelled: Spelling = inCode,
): S {
  const settings = checkedBy(list, json, from, spelled) as unknown as S
  const { batchSize, accumulation, model, data, adapter, dtype } = settings
  if (model === undefined) {
    throw new RangeError(`${from}: give model: a folder, a file, a URL or ORG/NAME`)
  }
  if (data === undefined) {
    throw new RangeError(`${from}: give data: a file of records, .json, .jsonl or .parquet`)
  }
  if (batchSize % accumulation !== 0) {
    throw new RangeError(
      `${from}: ${spelled("batchSize")} ${batchSize} does not make ${accumulation} equal micro-batches`,
    )
  }
  if (adapter === "none" && dtype !== "f32" && dtype !== "bf16") {
    throw new RangeError(
      `${from}: adapter none trains weights in f32 or bf16, dtype is ${dtype}. Give lora or dora`,
    )
  }
  if (settings.patience > 0 && settings.validation === 0) {
    throw new RangeError(`${from}: patience needs a validation. Give one, or leave patience out`)
  }
  check?.(settings, from, spelled)
  return settings
}

/** Settings as a run has written them. */
export function checkTuneWritten<S extends TuneSettings>(
  objective: Checked<S>,
  written: Fields,
  from: string,
): S {
  const json = fieldsOfFile(written, from)
  checkComplete(objective.list, json, from)
  return checkTuneSettings(objective, json, from, inFile)
}
