// The fields of a task's YAML, as the original has them for its common kinds.
import * as v from "valibot"
import { issueError, issuePath } from "../../model/schema.ts"

const text = v.string("a text")
const flag = v.boolean("true or false")
const count = v.pipe(
  v.number("a whole number"),
  v.integer("a whole number"),
  v.minValue(0, "0 or more"),
)
const names = v.union([text, v.array(text)], "a text, or a list of them")
const scalar = v.union([text, v.number()], "a text or a number")

const outputTypes = [
  "multiple_choice",
  "loglikelihood",
  "loglikelihood_rolling",
  "generate_until",
] as const

const metric = v.strictObject({
  metric: text,
  aggregation: v.optional(text),
  higher_is_better: v.optional(flag),
  ignore_case: v.optional(flag),
  ignore_punctuation: v.optional(flag),
  ignore_numbers: v.optional(flag),
  regexes_to_ignore: v.optional(v.array(text, "a list of texts")),
})

const step = v.strictObject({
  function: v.picklist(
    ["regex", "take_first", "lowercase", "uppercase", "remove_whitespace"],
    "regex, take_first, lowercase, uppercase or remove_whitespace",
  ),
  regex_pattern: v.optional(text),
  group_select: v.optional(v.pipe(v.number("a whole number"), v.integer("a whole number"))),
  fallback: v.optional(text),
})

const filter = v.strictObject({ name: text, filter: v.array(step, "a list of steps") })

const generation = v.strictObject({
  until: v.optional(names),
  max_gen_toks: v.optional(count),
  do_sample: v.optional(flag),
  temperature: v.optional(v.number("a number")),
})

const dataFiles = v.union(
  [names, v.record(text, names)],
  "a file, a list of files, or files by split",
)

const fields = v.strictObject({
  task: v.pipe(text, v.nonEmpty("a name")),
  task_alias: v.optional(text),
  group: v.optional(names),
  group_alias: v.optional(names),
  tag: v.optional(names),
  dataset_path: v.optional(text),
  dataset_name: v.optional(v.nullable(text)),
  // What is asked of the client that downloads is nothing here.
  dataset_kwargs: v.optional(
    v.strictObject({ data_files: v.optional(dataFiles), trust_remote_code: v.optional(flag) }),
  ),
  training_split: v.optional(v.nullable(text)),
  validation_split: v.optional(v.nullable(text)),
  test_split: v.optional(v.nullable(text)),
  fewshot_split: v.optional(v.nullable(text)),
  fewshot_config: v.optional(v.strictObject({ sampler: v.picklist(["default", "first_n"]) })),
  description: v.optional(text, ""),
  doc_to_text: v.optional(scalar, ""),
  doc_to_target: v.optional(v.union([text, v.number(), v.array(text)], "a text or a number"), ""),
  doc_to_choice: v.optional(v.union([text, v.array(scalar)], "a text, or a list of texts")),
  target_delimiter: v.optional(text, " "),
  fewshot_delimiter: v.optional(text, "\n\n"),
  num_fewshot: v.optional(count),
  output_type: v.optional(v.picklist(outputTypes, outputTypes.join(", ")), "generate_until"),
  metric_list: v.optional(v.array(metric, "a list of metrics")),
  filter_list: v.optional(v.array(filter, "a list of filters")),
  generation_kwargs: v.optional(generation, {}),
  repeats: v.optional(v.literal(1, "1"), 1),
  should_decontaminate: v.optional(flag),
  doc_to_decontamination_query: v.optional(text),
  metadata: v.optional(v.looseObject({ version: v.optional(scalar) }), {}),
})

export type TaskFields = v.InferOutput<typeof fields>

/** The fields, with their defaults. Throws TypeError or RangeError that names file and field. */
export function taskFields(value: unknown, from: string): TaskFields {
  const result = v.safeParse(fields, value, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const field = issuePath(issue)
  if (issue.expected === "never") {
    const known = Object.keys(fields.entries).join(", ")
    throw new RangeError(`${from}: there is no field ${field} here, only ${known}`)
  }
  const expected = issue.input === undefined ? "it" : issue.message
  throw issueError(issue, `${from}: ${field} is ${issue.received}, expected ${expected}`)
}
