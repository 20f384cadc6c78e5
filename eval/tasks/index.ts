// The tasks that there are. One more is a file of its own, and a line here.
import type { Group, Task } from "../types.ts"
import { arcChallenge } from "./arc_challenge.ts"
import { arcEasy } from "./arc_easy.ts"
import { boolq } from "./boolq.ts"
import { commonsense } from "./commonsense.ts"
import { crowsPairsEnglish } from "./crows_pairs_english.ts"
import { hellaswag } from "./hellaswag.ts"
import { mmlu } from "./mmlu.ts"
import { piqa } from "./piqa.ts"
import { race } from "./race.ts"
import { sciq } from "./sciq.ts"
import { truthfulqaMc2 } from "./truthfulqa_mc2.ts"
import { winogrande } from "./winogrande.ts"

export const allTasks: readonly (Task | Group)[] = [
  arcChallenge,
  arcEasy,
  boolq,
  hellaswag,
  piqa,
  sciq,
  winogrande,
  mmlu,
  truthfulqaMc2,
  crowsPairsEnglish,
  race,
  commonsense,
]
