// PIQA: which of two solutions reaches a goal in the physical world.  arXiv 1911.11641
import { columns, integer, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(columns({ goal: text, sol1: text, sol2: text, label: integer }))

export const piqa = multipleChoice({
  name: "piqa",
  version: 1,
  source: {
    hub: ["piqa", "ybisk/piqa"],
    splits: { training: "train", validation: "validation" },
    counts: { validation: 1838 },
    read,
  },
  text: ({ goal }) => `Question: ${goal}\nAnswer:`,
  choices: ({ sol1, sol2 }) => [sol1, sol2],
  gold: ({ label }) => label,
  columns: { choices: "sol1", gold: "label" },
  metrics: ["acc", "acc_norm"],
  decontaminate: "goal",
  config: {
    doc_to_text: "Question: {{goal}}\nAnswer:",
    doc_to_target: "label",
    doc_to_choice: "{{[sol1, sol2]}}",
  },
})
