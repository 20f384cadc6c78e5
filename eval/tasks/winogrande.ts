// WinoGrande: which of two names a blank stands for; the end of the sentence is scored after each.
// arXiv 1907.10641
import * as v from "valibot"
import { strip } from "../../model/python/text.ts"
import { columns, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const sentence = v.pipe(text, v.includes("_", "a text with a blank, _"))

const read = rowOf(columns({ sentence, option1: text, option2: text, answer: text }))

export const winogrande = multipleChoice({
  name: "winogrande",
  version: 1,
  source: {
    hub: ["winogrande", "allenai/winogrande"],
    config: "winogrande_xl",
    splits: { training: "train", validation: "validation" },
    counts: { train: 40398, validation: 1267 },
    read,
  },
  choices({ sentence, option1, option2 }) {
    const before = sentence.slice(0, sentence.indexOf("_"))
    return [option1, option2].map((option) => before + option)
  },
  continuation: ({ sentence }) => strip(sentence.slice(sentence.indexOf("_") + 1)),
  gold: ({ answer }) => ["1", "2"].indexOf(answer),
  columns: { choices: "sentence", gold: "answer" },
  metrics: ["acc"],
  decontaminate: "sentence",
  config: {
    doc_to_text: "{{['1', '2'].index(answer)}}",
    doc_to_target: "{{sentence[sentence.index('_') + 1:].strip()}}",
    doc_to_choice:
      "{% set before = sentence[:sentence.index('_')] %}{{[before + option1, before + option2]}}",
  },
})
