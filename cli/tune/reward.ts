// `elm tune reward`: a ranker of answers.
import { reward as objective } from "../../train/tune/reward.ts"
import { tuneCommand } from "../line/tune.ts"

export const reward = tuneCommand(objective, [
  "--model my-model --data preferences.jsonl --out my-ranker",
])
