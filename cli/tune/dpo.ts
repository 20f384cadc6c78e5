// `elm tune dpo`: preference tuning.
import { dpo as objective } from "../../train/tune/dpo.ts"
import { tuneCommand } from "../line/tune.ts"

export const dpo = tuneCommand(objective, [
  "--model my-model --data preferences.jsonl --out my-adapter",
  "--model my-model --from my-sft/step-00000100 --data ultrafeedback.parquet --loss hinge --beta 0.01",
  "--model apple/OpenELM-270M --config instruct-270m --data ultrafeedback.parquet",
])
