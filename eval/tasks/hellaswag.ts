// HellaSwag: how a description of an everyday event goes on.  arXiv 1905.07830
import { capitalize, strip } from "../../model/python/text.ts"
import { columns, rowOf, text, texts } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(
  columns({ activity_label: text, ctx_a: text, ctx_b: text, endings: texts, label: text }),
)

/** WikiHow's marks taken out. Two blanks become one in one pass, and a last one stays. */
export const withoutMarks = (text: string): string =>
  strip(text)
    .replaceAll(" [title]", ". ")
    .replace(/\[[^\n]*?\]/g, "")
    .replaceAll("  ", " ")

export const hellaswag = multipleChoice({
  name: "hellaswag",
  version: 1,
  group: "multiple_choice",
  source: {
    hub: ["hellaswag", "Rowan/hellaswag"],
    splits: { training: "train", validation: "validation" },
    counts: { train: 39905, validation: 10042 },
    read,
  },
  text: ({ activity_label, ctx_a, ctx_b }) =>
    withoutMarks(`${activity_label}: ${ctx_a} ${capitalize(ctx_b)}`),
  choices: ({ endings }) => endings.map(withoutMarks),
  gold: ({ label }) => (/^\d+$/.test(label) ? Number(label) : -1),
  columns: { choices: "endings", gold: "label" },
  metrics: ["acc", "acc_norm"],
  config: { doc_to_text: "{{query}}", doc_to_target: "{{label}}", doc_to_choice: "choices" },
})
