// What kinds of tasks have in common: fields of a declaration, and metrics by their names.
import { checkObject } from "../../engine/index.ts"
import type { Metric, Source, Task } from "../types.ts"

/** What a kind of task makes of the rest. */
export type DerivedField =
  | "source"
  | "description"
  | "requests"
  | "score"
  | "example"
  | "target"
  | "metrics"
  | "filters"

/** The fields of a task that every kind takes as they are. */
export interface Declared<D> extends Omit<Task, DerivedField> {
  readonly source: Source<D>
  /** What stands before the examples. */
  description?(document: D): string
  /** Between question and answer, in examples; default a blank. */
  readonly delimiter?: string
  readonly metrics: readonly string[]
  /** What groups of the original it is in, and what text shows that it was trained on. */
  readonly group?: string | readonly string[]
  readonly decontaminate?: string
}

/** Throws TypeError for what declares no task: without a name or a source, or with something else in place of a
 *  function. */
export function checkDeclared(
  kind: string,
  declared: unknown,
  functions: readonly string[],
): asserts declared is Declared<unknown> {
  checkObject(`${kind}: the declaration`, declared)
  const fields = declared as unknown as Readonly<Record<string, unknown>>
  if (typeof fields.name !== "string") {
    throw new TypeError(`${kind}: the declaration has no name`)
  }
  checkObject(`${kind}: the declaration's source`, fields.source)
  if (!Array.isArray(fields.metrics)) {
    throw new TypeError(`${kind}: the declaration has no list of metrics`)
  }
  const absent = functions.find((name) => typeof fields[name] !== "function")
  if (absent !== undefined) {
    throw new TypeError(`${kind}: the declaration of ${fields.name} has no function ${absent}`)
  }
}

/** Those of the original whose documents give numbers, and how they are put together. */
export const metricNamed: Readonly<Record<string, Metric>> = {
  acc: { aggregation: "mean", higherIsBetter: true },
  acc_norm: { aggregation: "mean", higherIsBetter: true },
  exact_match: { aggregation: "mean", higherIsBetter: true },
  perplexity: { aggregation: "perplexity", higherIsBetter: false },
  word_perplexity: { aggregation: "weighted_perplexity", higherIsBetter: false },
  byte_perplexity: { aggregation: "weighted_perplexity", higherIsBetter: false },
  bits_per_byte: { aggregation: "bits_per_byte", higherIsBetter: false },
}

/** The metrics of a task by name. Throws RangeError for one that its kind does not have. */
export function metricsOf(
  task: string,
  names: readonly string[],
  known: readonly string[],
): Record<string, Metric> {
  const entries = names.map((name) => {
    if (known.includes(name)) return [name, metricNamed[name] as Metric] as const
    throw new RangeError(`${task}: there is no metric ${name} here, only ${known.join(", ")}`)
  })
  return Object.fromEntries(entries)
}

/** Those that were asked for. */
export const only = <V>(
  all: Readonly<Record<string, V>>,
  names: readonly string[],
): Record<string, V> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))

/** What the results say of a task of a kind: functions are shown as their source. */
export function configOf(
  kind: string,
  { delimiter = " ", group, decontaminate, config }: Omit<Declared<never>, "source">,
  functions: Readonly<Record<string, unknown>>,
): Task["config"] {
  const shown = Object.entries(functions).filter(([, value]) => value !== undefined)
  return {
    ...(group === undefined ? {} : { group: [group].flat() }),
    ...Object.fromEntries(shown.map(([name, value]) => [name, String(value)])),
    target_delimiter: delimiter,
    output_type: kind,
    should_decontaminate: decontaminate !== undefined,
    ...(decontaminate === undefined ? {} : { doc_to_decontamination_query: decontaminate }),
    ...config,
  }
}
