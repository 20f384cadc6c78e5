// Which tasks the paper's tables are of, with how many shots, and by which metric.
import type { Results } from "./results.ts"

/** A column of a table. */
interface Column {
  readonly task: string
  readonly shots: number
  readonly metric: string
  /** As the paper heads it. */
  readonly title: string
}

export interface Suite {
  readonly name: SuiteName
  /** Its table in the paper. */
  readonly table: string
  readonly columns: readonly Column[]
}

export type SuiteName = "zero-shot" | "openllm" | "llm360" | "commonsense"

const column = (title: string, task: string, shots: number, metric: string): Column => ({
  title: shots > 0 ? `${title} (${shots})` : title,
  task,
  shots,
  metric,
})

const shared = {
  arc: column("ARC-c", "arc_challenge", 25, "acc_norm"),
  hellaswag: column("HellaSwag", "hellaswag", 10, "acc_norm"),
  mmlu: column("MMLU", "mmlu", 5, "acc"),
  truthfulqa: column("TruthfulQA-mc2", "truthfulqa_mc2", 0, "acc"),
  winogrande: column("WinoGrande", "winogrande", 5, "acc"),
}

const commonsense = {
  ...{ boolq: "BoolQ", piqa: "PIQA", social_i_qa: "SIQA", hellaswag: "HellaSwag" },
  ...{ winogrande: "WinoGrande", "ARC-Easy": "ARC-e", "ARC-Challenge": "ARC-c" },
  openbookqa: "OBQA",
}

export const suites: readonly Suite[] = [
  {
    name: "zero-shot",
    table: "4a",
    columns: [
      column("ARC-c", "arc_challenge", 0, "acc_norm"),
      column("ARC-e", "arc_easy", 0, "acc_norm"),
      column("BoolQ", "boolq", 0, "acc"),
      column("HellaSwag", "hellaswag", 0, "acc_norm"),
      column("PIQA", "piqa", 0, "acc_norm"),
      column("SciQ", "sciq", 0, "acc"),
      column("WinoGrande", "winogrande", 0, "acc"),
    ],
  },
  {
    name: "openllm",
    table: "4b",
    columns: [shared.arc, shared.hellaswag, shared.mmlu, shared.truthfulqa, shared.winogrande],
  },
  {
    name: "llm360",
    table: "4c",
    columns: [
      shared.arc,
      column("CrowS-Pairs", "crows_pairs_english", 25, "pct_stereotype"),
      shared.hellaswag,
      shared.mmlu,
      column("PIQA", "piqa", 0, "acc_norm"),
      column("RACE", "race", 0, "acc"),
      shared.truthfulqa,
      shared.winogrande,
    ],
  },
  {
    name: "commonsense",
    table: "6",
    columns: Object.entries(commonsense).map(([name, title]) =>
      column(title, `commonsense_${name}`, 0, "acc"),
    ),
  },
]

/** The tasks of a suite and their shots, as `evaluate` takes them. */
export function optionsOf({ columns }: Suite) {
  const shots = Object.fromEntries(columns.map(({ task, shots }) => [task, shots]))
  return { tasks: columns.map(({ task }) => task), shots }
}

/** Scores in percent, in the order of the suite, undefined for what was not evaluated; and their mean, which
 *  is that of numbers that are not rounded, where all are there. */
export function scoresOf({ columns }: Suite, results: Results["results"]) {
  const scores = columns.map(({ task, metric }) => {
    const value = results[task]?.[`${metric},none`]
    return typeof value === "number" ? 100 * value : undefined
  })
  return { scores, average: average(scores) }
}

/** Plain mean; undefined where one is missing. */
function average(scores: readonly (number | undefined)[]): number | undefined {
  let sum = 0
  for (const score of scores) {
    if (score === undefined) return undefined
    sum += score
  }
  return scores.length === 0 ? undefined : sum / scores.length
}
