// RACE's high set: the last question of an article, after the others with their answers.  arXiv 1704.04683
import * as v from "valibot"
import { parseLiteral } from "../../model/python/literal.ts"
import { columns, rowOf, text, texts } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const letter = v.picklist(["A", "B", "C", "D"], "A, B, C or D")
const options = v.pipe(texts, v.minLength(4, "four options or more"))
const problem = columns({ question: text, answer: letter, options })
type Problem = v.InferOutput<typeof problem>

const read = rowOf(columns({ article: text, problems: text }))
const readProblems = rowOf(
  columns({ problems: v.pipe(v.array(problem, "a list"), v.minLength(1, "one problem or more")) }),
)

const answerOf = ({ answer, options }: Problem): string => options["ABCD".indexOf(answer)] as string

/** A problem that has been answered. Where the blank ends the question, the question is lost. */
const solved = (problem: Problem): string =>
  problem.question.endsWith("  _  .")
    ? `${problem.question.slice(-5)}${answerOf(problem)}\n`
    : `Question: ${problem.question}\nAnswer: ${answerOf(problem)}\n`

const lastOf = ({ problems }: { readonly problems: readonly Problem[] }): Problem =>
  problems.at(-1) as Problem

export const race = multipleChoice({
  name: "race",
  version: 2,
  source: {
    hub: ["EleutherAI/race"],
    config: "high",
    splits: { test: "test" },
    counts: { test: 1045 },
    read(row) {
      const { article, problems } = read(row)
      // A literal of Python, in one text.
      const parsed = readProblems({ problems: parseLiteral(problems, "column problems") })
      return { article, problems: parsed.problems }
    },
  },
  text: (document) =>
    `Article: ${document.article}\n\n${document.problems.slice(0, -1).map(solved).join("")}` +
    lastOf(document).question,
  choices: (document) => lastOf(document).options.slice(0, 4),
  gold: (document) => "ABCD".indexOf(lastOf(document).answer),
  columns: { choices: "problems", gold: "problems" },
  metrics: ["acc"],
  // Of problems as a list; the one whose blank ends it aside.
  config: {
    doc_to_text:
      "Article: {{article}}\n\n{% for each in problems[:-1] %}Question: {{each.question}}\nAnswer: " +
      "{{each.options['ABCD'.index(each.answer)]}}\n{% endfor %}{{problems[-1].question}}",
    doc_to_target: "{{'ABCD'.index(problems[-1].answer)}}",
    doc_to_choice: "{{problems[-1].options[:4]}}",
  },
})
