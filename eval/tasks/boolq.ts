// BoolQ: questions of yes or no about a passage, as they were typed into a search.  arXiv 1905.10044
import { columns, integer, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(columns({ question: text, passage: text, label: integer }))

export const boolq = multipleChoice({
  name: "boolq",
  version: 2,
  group: "super-glue-lm-eval-v1",
  source: {
    hub: ["super_glue", "aps/super_glue"],
    config: "boolq",
    splits: { training: "train", validation: "validation" },
    counts: { validation: 3270 },
    read,
  },
  text: ({ passage, question }) => `${passage}\nQuestion: ${question}?\nAnswer:`,
  choices: () => ["no", "yes"],
  gold: ({ label }) => label,
  columns: { choices: "label", gold: "label" },
  metrics: ["acc"],
  decontaminate: "passage",
  config: {
    doc_to_text: "{{passage}}\nQuestion: {{question}}?\nAnswer:",
    doc_to_target: "label",
    doc_to_choice: ["no", "yes"],
  },
})
