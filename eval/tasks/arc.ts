// What both sets of ARC are: three to five choices with labels, A to E or 1 to 5.  arXiv 1803.05457
import * as v from "valibot"
import { columns, rowOf, text, texts } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(
  columns({
    question: text,
    choices: v.pipe(
      columns({ text: texts, label: texts }),
      v.check(({ text, label }) => text.length === label.length, "as many labels as texts"),
    ),
    answerKey: text,
  }),
)

export const arc = (name: string, config: string, counts: Readonly<Record<string, number>>) =>
  multipleChoice({
    name,
    version: 1,
    group: "ai2_arc",
    source: {
      hub: ["allenai/ai2_arc", "ai2_arc"],
      config,
      splits: { training: "train", validation: "validation", test: "test" },
      counts,
      read,
    },
    text: ({ question }) => `Question: ${question}\nAnswer:`,
    choices: ({ choices }) => choices.text,
    gold: ({ choices, answerKey }) => choices.label.indexOf(answerKey),
    columns: { choices: "choices.text", gold: "answerKey" },
    metrics: ["acc", "acc_norm"],
    decontaminate: "Question: {{question}}\nAnswer:",
    config: {
      doc_to_text: "Question: {{question}}\nAnswer:",
      doc_to_target: "{{choices.label.index(answerKey)}}",
      doc_to_choice: "{{choices.text}}",
    },
  })
