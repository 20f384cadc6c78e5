// `elm tune sft`: supervised fine-tuning.
import { sft as objective } from "../../train/tune/sft.ts"
import { tuneCommand } from "../line/tune.ts"

export const sft = tuneCommand(objective, [
  "--model my-model --data instructions.jsonl --out my-adapter",
  "--model my-model --data chats.jsonl --dtype q4 --adapter dora --rank 16 --pack",
  "--resume my-adapter --epochs 5",
])
