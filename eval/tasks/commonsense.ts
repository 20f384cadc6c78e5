// The commonsense tasks of table 6, in the form that adapters are trained and evaluated with: a prompt of an
// instruction, and answers of one word.  arXiv 2304.01933; CoreNet's corenet-eval-llmadapters
import * as v from "valibot"
import { PythonRandom } from "../../model/python/random.ts"
import { columns, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"
import type { Group, Task } from "../types.ts"

/** Documents of each test set, in the order of the table. */
const counts = {
  boolq: 3270,
  piqa: 1838,
  social_i_qa: 1954,
  hellaswag: 10042,
  winogrande: 1267,
  "ARC-Easy": 2376,
  "ARC-Challenge": 1172,
  openbookqa: 500,
}

const seed = 83652
const indent = " ".repeat(16)

/** With its blanks: they are a part of what the model was trained on. */
const prompt = (instruction: string): string =>
  [
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.  \n",
    `${indent}### Instruction:`,
    indent + instruction,
    indent,
    `${indent}### Response:`,
    indent,
  ].join("\n")

/** The words that a document may be answered with, by the last line of its instruction. */
function answersOf(instruction: string): string[] {
  const line = instruction.slice(instruction.lastIndexOf("\n") + 1)
  if (line.includes("Answer format: true/false")) return ["true", "false"]
  const [, word, count] = /Answer format: .*(answer|ending|option|solution)(\d)$/.exec(line) ?? []
  return Array.from({ length: Number(count ?? 0) }, (_, i) => `${word}${i + 1}`)
}

const row = columns({
  instruction: text,
  input: v.optional(v.literal("", "an empty text"), ""),
  answer: text,
})

const taskOf = (name: string, count: number): Task =>
  multipleChoice({
    name: `commonsense_${name}`,
    version: 0,
    alias: name,
    group: "commonsense",
    source: {
      folders: [name, `commonsense/${name}`, `commonsense_${name}`],
      splits: { test: "test" },
      counts: { test: count },
      read: rowOf(row),
      order(documents) {
        const list = [...documents]
        new PythonRandom(seed).shuffle(list)
        return list
      },
    },
    shots: 0,
    text: ({ instruction }) => prompt(instruction),
    delimiter: "",
    choices: ({ instruction }) =>
      answersOf(instruction).map((answer) => `the correct answer is ${answer}`),
    gold: ({ instruction, answer }) => answersOf(instruction).indexOf(answer),
    columns: { choices: "instruction", gold: "answer" },
    metrics: ["acc", "acc_norm"],
    // Of the words that the instruction names.
    config: {
      doc_to_text: prompt("{{instruction}}"),
      doc_to_target: "{{answers.index(answer)}}",
      doc_to_choice: "{{answers}}",
    },
  })

export const commonsense: Group = {
  name: "commonsense",
  members: Object.entries(counts).map(([name, count]) => taskOf(name, count)),
}
