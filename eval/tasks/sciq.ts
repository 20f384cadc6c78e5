// SciQ: questions of science with the passage that answers them.  arXiv 1707.06209
import { stripLeft } from "../../model/python/text.ts"
import { columns, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(
  columns({
    ...{ question: text, support: text, correct_answer: text },
    ...{ distractor1: text, distractor2: text, distractor3: text },
  }),
)

export const sciq = multipleChoice({
  name: "sciq",
  version: 1,
  source: {
    hub: ["sciq", "allenai/sciq"],
    splits: { training: "train", validation: "validation", test: "test" },
    counts: { test: 1000 },
    read,
  },
  text: ({ support, question }) => `${stripLeft(support)}\nQuestion: ${question}\nAnswer:`,
  choices: (row) => [row.distractor1, row.distractor2, row.distractor3, row.correct_answer],
  gold: () => 3,
  columns: { choices: "correct_answer", gold: "correct_answer" },
  metrics: ["acc", "acc_norm"],
  decontaminate: "{{support}} {{question}}",
  config: {
    doc_to_text: "{{support.lstrip()}}\nQuestion: {{question}}\nAnswer:",
    doc_to_target: 3,
    doc_to_choice: "{{[distractor1, distractor2, distractor3, correct_answer]}}",
  },
})
