// A task from a YAML file like the original's, so that questions of one's own are evaluated without code.
import { fromNode } from "../../engine/node.ts"
import { parseYaml } from "../../model/files/yaml.ts"
import { contentOf, openFile } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import { generationTask, regexFilter } from "../kinds/generation.ts"
import { logLikelihoodTask } from "../kinds/log_likelihood.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"
import { perplexityTask } from "../kinds/perplexity.ts"
import { type Declared, metricNamed } from "../kinds/shared.ts"
import type { Document, Filter, Source, Splits, Task } from "../types.ts"
import { type TaskFields, taskFields } from "./fields.ts"
import { pythonRegex } from "./regex.ts"
import { type Row, rendered } from "./row.ts"

const mostBytes = 1 << 20
/** Files that include each other. */
const deepest = 8

/** The task of a YAML file. Throws Error where it cannot be read, SyntaxError for what is not YAML, Jinja or
 *  a regular expression, TypeError or RangeError that names file and field for what is not understood. */
export async function loadTask(path: string): Promise<Task> {
  const fields = taskFields(await withIncluded(path, 0), path)
  return taskOf(fields, path)
}

/** The fields of a file over those of the one that it includes. */
async function withIncluded(
  path: string,
  depth: number,
): Promise<Readonly<Record<string, unknown>>> {
  if (depth > deepest) throw new RangeError(`${path}: files include each other ${depth} deep`)
  const file = await openFile(path, { limit: mostBytes })
  const text = new TextDecoder().decode(await contentOf(file, mostBytes))
  // A tag, which the parser would drop: the text that is left is the name of a function.
  const tagged = /^\s*([\w-]+):\s*!function/m.exec(text)
  if (tagged) {
    throw new RangeError(`${path}: ${tagged[1]} is a function of Python. Write the task in code`)
  }
  const value = await parseYaml(text, path)
  if (!isObject(value)) throw new TypeError(`${path} is ${show(value)}, expected fields of a task`)
  const { include, ...own } = value
  if (include === undefined) return own
  if (typeof include !== "string") throw new TypeError(`${path}: include is ${show(include)}`)
  return { ...(await withIncluded(beside(path, include), depth + 1)), ...own }
}

/** A path as a file names it. */
function beside(path: string, name: string): string {
  const { dirname, isAbsolute, join } = fromNode("node:path")
  return isAbsolute(name) ? name : join(dirname(path), name)
}

async function taskOf(fields: TaskFields, path: string): Promise<Task> {
  const { task: name, task_alias: alias, fewshot_config, num_fewshot } = fields
  const group = fields.group ?? fields.tag
  const version = Number(fields.metadata.version ?? 0)
  const shared: Declared<Row> = {
    name,
    ...(alias === undefined ? {} : { alias }),
    ...(Number.isFinite(version) ? { version } : {}),
    ...(fewshot_config ? { sampler: fewshot_config.sampler } : {}),
    ...(num_fewshot === undefined ? {} : { shots: num_fewshot }),
    ...(group === undefined ? {} : { group }),
    source: sourceOf(fields, path, await rendered(fields, path)),
    description: (row) => row.description,
    shotDelimiter: fields.fewshot_delimiter,
    delimiter: fields.target_delimiter,
    metrics: metricsOf(fields, path),
    config: shownOf(fields),
  }
  return kinds[fields.output_type](shared, fields, path)
}

const text = (row: Row): string => row.text
const target = (row: Row): string => row.targets[0] as string

/** What a file's output_type makes of the rest. */
const kinds: Readonly<
  Record<
    TaskFields["output_type"],
    (shared: Declared<Row>, fields: TaskFields, path: string) => Task
  >
> = {
  multiple_choice: (shared) =>
    multipleChoice<Row>({
      ...shared,
      text,
      choices: ({ choices }) => choices,
      gold: ({ gold }) => gold,
      columns: { choices: "doc_to_choice", gold: "doc_to_target" },
    }),
  loglikelihood: (shared) => logLikelihoodTask<Row>({ ...shared, text, continuation: target }),
  loglikelihood_rolling: (shared) => perplexityTask<Row>({ ...shared, content: target }),
  generate_until(shared, fields, path) {
    const { until, max_gen_toks, do_sample = false, temperature } = fields.generation_kwargs
    return generationTask<Row>({
      ...shared,
      text,
      answers: ({ targets }) => targets,
      until: [until ?? fields.fewshot_delimiter].flat(),
      ...(max_gen_toks === undefined ? {} : { maxNewTokens: max_gen_toks }),
      ...(do_sample && temperature !== undefined ? { temperature } : {}),
      comparison: comparisonOf(fields, path),
      ...(fields.filter_list ? { filters: filtersOf(fields.filter_list, path) } : {}),
    })
  },
}

function sourceOf(fields: TaskFields, path: string, read: (row: Document) => Row): Source<Row> {
  const { dataset_path, dataset_name, dataset_kwargs } = fields
  const splits: Splits = Object.fromEntries(
    (["training", "validation", "test", "fewshot"] as const).flatMap((role) => {
      const split = fields[`${role}_split`]
      return split ? [[role, split]] : []
    }),
  )
  const files = dataset_kwargs?.data_files
  const listed = (names: string | readonly string[]): readonly string[] =>
    [names].flat().map((name) => beside(path, name as string))
  // One file is that of every split.
  const bySplit = typeof files === "string" || Array.isArray(files) ? undefined : files
  const paths =
    files === undefined
      ? undefined
      : Object.fromEntries(
          Object.values(splits).map((split) => {
            const own = bySplit ? (bySplit as Record<string, string>)[split] : (files as string)
            if (own !== undefined) return [split, listed(own)]
            throw new RangeError(`${path}: dataset_kwargs.data_files has no split ${show(split)}`)
          }),
        )
  return {
    splits,
    ...(paths ? { paths } : {}),
    ...(dataset_path === undefined ? {} : { hub: [dataset_path] }),
    ...(dataset_name ? { config: dataset_name } : {}),
    read,
  }
}

/** Metrics of each kind where a file names none. */
const usual: Readonly<Record<TaskFields["output_type"], readonly string[]>> = {
  multiple_choice: ["acc", "acc_norm"],
  loglikelihood: ["perplexity", "acc"],
  loglikelihood_rolling: ["word_perplexity", "byte_perplexity", "bits_per_byte"],
  generate_until: ["exact_match"],
}

function metricsOf({ metric_list, output_type }: TaskFields, path: string): readonly string[] {
  for (const { metric, aggregation, higher_is_better } of metric_list ?? []) {
    const known = metricNamed[metric]
    const wrong =
      (aggregation !== undefined && known && aggregation !== known.aggregation) ||
      (higher_is_better !== undefined && known && higher_is_better !== known.higherIsBetter)
    if (!wrong) continue
    const { aggregation: own, higherIsBetter } = known as NonNullable<typeof known>
    throw new RangeError(
      `${path}: ${metric} is there with aggregation ${own} and higher_is_better ${higherIsBetter} only`,
    )
  }
  return metric_list?.map(({ metric }) => metric) ?? usual[output_type]
}

function comparisonOf({ metric_list = [] }: TaskFields, path: string) {
  const {
    ignore_case,
    ignore_punctuation,
    ignore_numbers,
    regexes_to_ignore = [],
  } = metric_list.find(({ metric }) => metric === "exact_match") ?? {}
  const ignored = regexes_to_ignore.map((each) => pythonRegex(each, `${path}: regexes_to_ignore`))
  return {
    ...(ignore_case === undefined ? {} : { ignoreCase: ignore_case }),
    ...(ignore_punctuation === undefined ? {} : { ignorePunctuation: ignore_punctuation }),
    ...(ignore_numbers === undefined ? {} : { ignoreNumbers: ignore_numbers }),
    ignored,
  }
}

function filtersOf(list: NonNullable<TaskFields["filter_list"]>, path: string): readonly Filter[] {
  return list.map(({ name, filter }) => {
    const steps = filter.map((step) => {
      const { group_select = 0, fallback = "[invalid]" } = step
      const pattern = step.regex_pattern ?? "#### (\\-?[0-9\\.\\,]+)"
      const regex = pythonRegex(pattern, `${path}: regex_pattern`)
      const byName: Readonly<Record<typeof step.function, (text: string) => string>> = {
        regex: (text) => String(regexFilter(name, regex, group_select, fallback).apply(text)),
        take_first: (text) => text,
        lowercase: (text) => text.toLowerCase(),
        uppercase: (text) => text.toUpperCase(),
        remove_whitespace: (text) => (text.startsWith(" ") ? text.slice(1) : text),
      }
      return byName[step.function]
    })
    const apply: Filter["apply"] = (answer) =>
      steps.reduce((text, step) => step(text), String(answer))
    return { name, apply }
  })
}

/** As the results show it: the templates, rather than the functions that they became. */
const shownOf = (fields: TaskFields) => {
  const { doc_to_text, doc_to_target, doc_to_choice, description } = fields
  const { dataset_kwargs, generation_kwargs, filter_list, output_type } = fields
  const more = {
    doc_to_choice,
    dataset_kwargs,
    filter_list,
    generation_kwargs: output_type === "generate_until" ? generation_kwargs : undefined,
  }
  const given = Object.entries(more).filter(([, value]) => value !== undefined)
  return { doc_to_text, doc_to_target, description, ...Object.fromEntries(given) }
}
