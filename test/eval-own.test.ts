// Tasks of one's own: from YAML files as the original reads them, and in code.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { compiled } from "../eval/own/templates.ts"
import {
  type EvaluateOptions,
  type EvaluationSample,
  evaluate,
  type GenerationRequest,
  type ScoredPair,
  type Scorer,
  type TaskResults,
} from "../index.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-own-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const write = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content)
  return join(dir, name)
}

const rows = [
  {
    question: "  2+2? ",
    options: ["3", "it's 4", 'say "5"'],
    answer: 1,
    word: "four",
    said: ["4", "four"],
  },
  { question: "3+3?", options: ["six", "7"], answer: 0, word: "six", said: ["6", "six"] },
  { question: "1+1?", options: ["three", "two"], answer: 1, word: "two", said: ["2", "two"] },
]
write("q.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"))

const common = `
task: mine
dataset_path: json
dataset_kwargs: { data_files: q.jsonl }
test_split: test
fewshot_split: shots
`

/** What was asked, and the results, of a YAML file. */
async function ran(yaml: string, more: Partial<EvaluateOptions> = {}) {
  const pairs: ScoredPair[] = []
  const prompts: GenerationRequest[] = []
  const samples: EvaluationSample[] = []
  const scorer: Scorer = {
    async logLikelihood(asked) {
      pairs.push(...asked)
      return asked.map(({ continuation }) => ({ logProb: -continuation.length, isGreedy: true }))
    },
    rolling: async (texts) => texts.map((text) => -text.length),
    async generateUntil(asked) {
      prompts.push(...asked)
      return asked.map((_, i) => [" It is FOUR!", "#### 6,000 and 6", "Two"][i] as string)
    },
  }
  const results = await evaluate(scorer, {
    tasks: [write("task.yaml", common + yaml)],
    onSample: (_, sample) => void samples.push(sample),
    ...more,
  })
  return { pairs, prompts, samples, results, mine: results.results.mine as TaskResults }
}

t.test(
  "multiple choice by templates: columns, lists of Python, descriptions, examples",
  async (t) => {
    const yaml = `
output_type: multiple_choice
task_alias: sums
fewshot_config: { sampler: first_n }
description: "Sums of {{ question | trim | length }}.\\n\\n"
doc_to_text: "Q: {{question.strip()}}\\nA:\\n"
doc_to_target: answer
doc_to_choice: "{{options}}"
metadata: { version: 1.5 }
`
    const { pairs, results, mine } = await ran(yaml, { shots: 2 })
    t.same(pairs[0], {
      context: "Sums of 4.\nQ: 3+3?\nA: six\n\nQ: 2+2?\nA:",
      continuation: " 3",
    })
    t.same(
      pairs.map(({ continuation }) => continuation),
      [...[" 3", " it's 4", ' say "5"', " six", " 7", " three", " two"]],
    )
    t.same([mine["acc,none"], mine.alias], [1 / 3, "sums"])
    t.equal(results.versions.mine, 1.5)
    t.equal(results.configs.mine?.doc_to_choice, "{{options}}")
    const found = ["{{options.index(options[answer])}}", "{{options[answer]}}", "{{answer}}"]
    for (const target of found) {
      const same = await ran(
        `output_type: multiple_choice\ndoc_to_text: question\ndoc_to_choice: options\ndoc_to_target: "${target}"`,
      )
      t.equal(same.mine["acc,none"], 1 / 3, target)
    }
  },
)

t.test("log-likelihood, rolling and generation have the original's metrics", async (t) => {
  const words = await ran(
    `
output_type: loglikelihood
doc_to_text: question
doc_to_target: "{{' ' + word}}"
`,
    { bootstrapIterations: 2000 },
  )
  t.equal(words.pairs[1]?.continuation, " six")
  t.equal(words.mine["acc,none"], 1)
  t.ok(Math.abs((words.mine["perplexity,none"] as number) - Math.exp(13 / 3)) < 1e-12)
  // bootstrap_stderr(perplexity, [-5, -4, -4], 2000) as the original has it, in Python 3.11.
  t.ok(Math.abs((words.mine["perplexity_stderr,none"] as number) - 22.838527260852814) < 1e-9)

  const rolling = await ran(`
output_type: loglikelihood_rolling
doc_to_target: "{{question}}é"
`)
  const [characters, bytes, wordCount] = [8 + 5 + 5, 9 + 6 + 6, 3 + 1 + 1]
  const near = (name: string, want: number) =>
    t.ok(Math.abs((rolling.mine[name] as number) - want) < 1e-9, `${name} ${rolling.mine[name]}`)
  near("word_perplexity,none", Math.exp(characters / wordCount))
  near("byte_perplexity,none", Math.exp(characters / bytes))
  near("bits_per_byte,none", characters / bytes / Math.LN2)
  t.equal(rolling.mine["bits_per_byte_stderr,none"], "N/A")

  const generated = await ran(`
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{said}}"
generation_kwargs: { until: ["\\n", "."], max_gen_toks: 7 }
metric_list:
  - { metric: exact_match, ignore_case: true, ignore_punctuation: true, regexes_to_ignore: [","] }
filter_list:
  - { name: last, filter: [{ function: regex, regex_pattern: "(\\\\w+)", group_select: -1 }, { function: take_first }] }
  - { name: marked, filter: [{ function: regex }] }
`)
  t.same(generated.prompts[0], { context: "  2+2? ", until: ["\n", "."], maxNewTokens: 7 })
  t.equal(generated.mine["exact_match,last"], 1)
  t.equal(generated.mine["exact_match,marked"], 0)
  t.same(
    generated.samples
      .filter(({ filter }) => filter === "marked")
      .map((each) => each.filtered_resps),
    [["[invalid]"], ["6,000"], ["[invalid]"]],
  )
})

t.test("a file may include another, and has its data beside it", async (t) => {
  const base = write(
    "base.yaml",
    "output_type: loglikelihood\ndoc_to_text: question\ndoc_to_target: word\n",
  )
  const { pairs } = await ran(`include: ${base}\ndoc_to_target: "{{word}}!"`, { limit: 1 })
  t.same(pairs, [{ context: "  2+2? ", continuation: "four!" }])
  write("task.yaml", "include: task.yaml")
  const endless = evaluate({} as Scorer, { tasks: [join(dir, "task.yaml")] })
  await t.rejects(
    endless.catch((error) => {
      throw error
    }),
    { message: /no logLikelihood/ },
  )
})

t.test("what a file has that is not understood is one message with its field", async (t) => {
  const choice = "doc_to_choice: options\ndoc_to_target: answer\noutput_type: multiple_choice\n"
  const cases: readonly (readonly [yaml: string, kind: string, message: RegExp])[] = [
    ["doc_to_txt: x", "RangeError", /task.yaml: there is no field doc_to_txt here, only task, /],
    [
      "output_type: greedy",
      "RangeError",
      /task.yaml: output_type is "greedy", expected multiple_choice/,
    ],
    ["num_fewshot: many", "TypeError", /task.yaml: num_fewshot is "many", expected a whole number/],
    ["process_docs: !function utils.f", "RangeError", /process_docs is a function of Python/],
    ["doc_to_text: '{{ question'", "SyntaxError", /task.yaml: doc_to_text is not Jinja/],
    ["doc_to_text: [", "SyntaxError", /task.yaml line \d+ is not YAML/],
    [
      `${choice}doc_to_text: "{{ quest }}"`,
      "RangeError",
      /q.jsonl row 1: .*doc_to_text asks for quest; the columns are "question"/,
    ],
    [`${choice}doc_to_text: "7"`, "RangeError", /q.jsonl row 1: .*doc_to_text gives a number, 7/],
    [
      "output_type: multiple_choice\ndoc_to_choice: options\ndoc_to_target: word",
      "RangeError",
      /q.jsonl row 1: .*doc_to_target is "four", expected one of \["3", /,
    ],
    [
      "output_type: multiple_choice\ndoc_to_choice: word",
      "SyntaxError",
      /row 1: .*doc_to_choice is not a literal of Python/,
    ],
    [
      `${choice}metric_list: [{ metric: f1 }]`,
      "RangeError",
      /mine: there is no metric f1 here, only acc/,
    ],
    [
      `${choice}metric_list: [{ metric: acc, aggregation: median }]`,
      "RangeError",
      /acc is there with aggregation mean/,
    ],
    [
      "filter_list: [{ name: a, filter: [{ function: regex, regex_pattern: '(' }] }]",
      "SyntaxError",
      /regex_pattern: /,
    ],
    [
      "dataset_kwargs: { data_files: { train: q.jsonl } }",
      "RangeError|SyntaxError",
      /no split "test"|is not YAML/,
    ],
  ]
  for (const [yaml, kind, message] of cases) {
    await t.rejects(ran(yaml), { name: new RegExp(kind), message }, String(message))
  }
})

t.test("templates are the original's Jinja", async (t) => {
  const row = { a: "x", list: ["p", "q"], n: 3, deep: { b: [1, 2] } }
  const cases: readonly (readonly [template: string, text: string])[] = [
    ["plain\n", "plain"],
    ["{{a}}\n\n", "x\n"],
    ["  {% if n > 2 %}yes{% else %}no{% endif %} \n x", "  yes \n x"],
    ["{% for each in list %}{{ loop.index }}{{ each | upper }} {% endfor %}", "1P 2Q "],
    ["{% set y = a ~ '!' %}{{ y }}{{ deep.b[1] }}{{ list | join(', ') }}", "x!2p, q"],
    ["{{ list.index('q') }}{{ deep.b.index(1) }}", "10"],
    ["{{ a | replace('x', n | string) }}{{ 'none' if n is none else n }}", "33"],
    ["{% if true %}\nline\n{% endif %}", "\nline\n"],
  ]
  for (const [template, text] of cases)
    t.equal((await compiled(template, "x"))(row), text, template)
  const wrong = await compiled("{{ list.index('z') }}", "doc_to_target")
  t.throws(
    () => wrong(row),
    /^doc_to_target cannot be rendered: "z" is not in the list$|doc_to_target cannot/,
  )
})
