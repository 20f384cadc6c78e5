// MMLU: multiple choice in 57 subjects, in four groups and one of all.  arXiv 2009.03300
import * as v from "valibot"
import { strip } from "../../model/python/text.ts"
import { columns, integer, rowOf, text, texts } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"
import type { Group, Task } from "../types.ts"

const letters = ["A", "B", "C", "D"]

/** Subjects of a group, in the order in which the original's run had them. */
const subjects = {
  humanities: `
    international_law world_religions high_school_world_history prehistory
    logical_fallacies formal_logic high_school_us_history jurisprudence professional_law
    high_school_european_history moral_disputes philosophy moral_scenarios`,
  social_sciences: `
    us_foreign_policy high_school_macroeconomics econometrics high_school_microeconomics
    high_school_government_and_politics security_studies human_sexuality
    professional_psychology high_school_psychology public_relations sociology
    high_school_geography`,
  other: `
    professional_accounting marketing medical_genetics virology management
    clinical_knowledge professional_medicine business_ethics college_medicine global_facts
    human_aging miscellaneous nutrition`,
  stem: `
    computer_security college_biology college_mathematics anatomy high_school_mathematics
    conceptual_physics elementary_mathematics college_chemistry college_physics
    high_school_physics astronomy high_school_computer_science high_school_chemistry
    high_school_statistics machine_learning electrical_engineering high_school_biology
    abstract_algebra college_computer_science`,
}

const four = v.pipe(texts, v.length(4, "four choices"))
const read = rowOf(columns({ question: text, subject: text, choices: four, answer: integer }))

function taskOf(subject: string, group: string): Task {
  const title = subject.replaceAll("_", " ")
  const description = `The following are multiple choice questions (with answers) about ${title}.\n`
  return multipleChoice({
    name: `mmlu_${subject}`,
    version: 0,
    alias: subject,
    group: `mmlu_${group}`,
    description: () => description,
    config: {
      description,
      doc_to_text: `{{question.strip()}}\n${letters.map((each, i) => `${each}. {{choices[${i}]}}`).join("\n")}\nAnswer:`,
      doc_to_target: "answer",
      doc_to_choice: letters,
    },
    source: {
      folders: ["mmlu", `mmlu_${subject}`],
      hub: ["hails/mmlu_no_train", "cais/mmlu"],
      config: subject,
      splits: { test: "test", fewshot: "dev" },
      counts: { test: 14042, dev: 285 },
      isShared: true,
      read: (row) => (row.subject === subject ? read(row) : other(row)),
    },
    sampler: "first_n",
    text: ({ question, choices }) =>
      `${[strip(question), ...choices.map((each, i) => `${letters[i]}. ${each}`)].join("\n")}\nAnswer:`,
    choices: () => letters,
    gold: ({ answer }) => answer,
    columns: { choices: "choices", gold: "answer" },
    metrics: ["acc"],
  })
}

/** A row of another subject is none of this task's, but a row all the same. */
function other(row: Parameters<typeof read>[0]): undefined {
  read(row)
}

const groups = Object.entries(subjects).map(
  ([name, names]): Group => ({
    name: `mmlu_${name}`,
    alias: name,
    members: names
      .trim()
      .split(/\s+/)
      .map((subject) => taskOf(subject, name)),
  }),
)

export const mmlu: Group = { name: "mmlu", members: groups }
