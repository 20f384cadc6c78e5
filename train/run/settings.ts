// What a training run is asked for: one list of fields that YAML files and the flags of `elm train`
// share, with their defaults and checks. What a field means to the step is options.ts.
import * as v from "valibot"
import { pathToWrite } from "../../model/files/files.ts"
import { decimal } from "../../model/index.ts"
import { brief, show } from "../../model/json.ts"
import { isBelow1, isNotNegative, isPositive } from "../checks.ts"
import { optimiserNames } from "../optimisers/index.ts"

const whole = (least: number, most = 2 ** 31 - 1) => {
  const expected = `a whole number from ${least}`
  const inside = (x: number): boolean => Number.isInteger(x) && x >= least && x <= most
  return v.pipe(v.number(expected), v.check(inside, expected))
}
const real = (expected: string, holds: (x: number) => boolean) =>
  v.pipe(v.number(expected), v.check(holds, expected))
const positive = real("a number above 0 (in f32: 1.2e-38 to 3.4e38)", isPositive)
const notNegative = real("a number from 0 (in f32: 1.2e-38 to 3.4e38)", isNotNegative)
const below1 = real("a number from 0 and below 1, in f32 too", isBelow1)
// Rates are rounded to eight decimals (schedule.ts).
const rate = real(
  "a number above 0 (from 1e-8 to 3.4e38: rates have eight decimals)",
  (x) => x >= 5e-9 && isPositive(x),
)
const text = v.string("a text")
const part = real("a number from 0 to 0.5", (x) => x >= 0 && x <= 0.5)
const path = v.pipe(
  text,
  v.check((x) => x !== "", "a path"),
)
const flag = v.boolean("true or false")
const pair = v.strictTuple([positive, positive], "two numbers, such as 0.5,1.0")
const choice = <const T extends readonly string[]>(...names: T) =>
  v.picklist(names, names.map((name) => `"${name}"`).join(" or "))
const optional = v.optional

const schema = v.strictObject(
  {
    model: optional(text),
    init: optional(text),
    layers: optional(whole(1)),
    dim: optional(whole(1)),
    head_dim: optional(whole(2)),
    alpha: optional(pair),
    beta: optional(pair),
    ffn_divisor: optional(whole(1)),
    queries_per_key: optional(whole(1)),
    vocab_size: optional(whole(1)),
    data: optional(v.union([text, v.looseObject({})], "a path, or an object with sources")),
    validation: optional(v.union([part, path], "a path, or a number from 0 to 0.5")),
    tokenizer: optional(text),
    sequence_length: optional(whole(1), 2048),
    batch_size: optional(whole(1), 8),
    accumulation: optional(whole(1), 1),
    accumulate: optional(choice("sum", "mean"), "mean"),
    steps: optional(whole(1), 1000),
    lr: optional(rate, 3e-3),
    min_lr: optional(notNegative),
    warmup_steps: optional(whole(0), 100),
    warmup_init_lr: optional(notNegative, 1e-6),
    optimiser: optional(choice(...optimiserNames), "adamw"),
    betas: optional(v.strictTuple([below1, below1], "two numbers, such as 0.9,0.95"), [0.9, 0.95]),
    eps: optional(positive, 1e-8),
    weight_decay: optional(notNegative, 0.1),
    clip: optional(positive, 1),
    z_loss: optional(notNegative, 1e-4),
    label_smoothing: optional(below1, 0),
    dtype: optional(choice("f32", "bf16"), "f32"),
    checkpoint_activations: optional(flag, false),
    seed: optional(whole(0, 2 ** 32 - 1), 0),
    log_every: optional(whole(1), 10),
    eval_every: optional(whole(0), 250),
    eval_batches: optional(whole(1), 16),
    sample_every: optional(whole(0), 250),
    prompt: optional(text, "It is a truth"),
    sample_tokens: optional(whole(1), 60),
    save_every: optional(whole(0), 250),
    keep: optional(whole(1), 2),
    out: optional(path, "elm-run"),
    threads: optional(whole(1, 256)),
  },
  "an object of settings",
)

export type Settings = v.InferOutput<typeof schema>
export type Field = keyof Settings

/** What each field is, for `elm train --help`. */
export const fields: Readonly<Record<Field, string>> = {
  model: "size to train: 270M, 450M, 1.1B or 3B; the fields below replace parts of it",
  init: "model folder whose weights to start from, instead of seeded random ones",
  layers: "transformer layers",
  dim: "model width",
  head_dim: "width of a head",
  alpha: "query width over model width, first and last layer",
  beta: "feed-forward width over model width, first and last layer",
  ffn_divisor: "feed-forward widths are multiples of this",
  queries_per_key: "query heads that share a key/value head",
  vocab_size: "rows of the embedding; default what the tokenizer has",
  data: "text file or folder, packed, or YAML file of sources; in a YAML file also the sources",
  validation: "file to validate on, or the part of data that is held out for it; default 0.05",
  tokenizer: 'tokenizer.model, tokenizer.json, their folder, or "byte"',
  sequence_length: "positions of a sample",
  batch_size: "samples of one update",
  accumulation: "micro-batches of one update",
  accumulate: "whether their gradients are averaged or, as the release did, summed: mean or sum",
  steps: "updates",
  lr: "largest learning rate",
  min_lr: "smallest learning rate, at the end; default a tenth of lr",
  warmup_steps: "updates until the largest learning rate",
  warmup_init_lr: "learning rate of the first update",
  optimiser: "what moves the weights: adamw, or sgd with momentum",
  betas: "AdamW's decay rates of the moments",
  eps: "AdamW's epsilon",
  weight_decay: "weight decay of everything but the norms",
  clip: "largest global norm of the gradients",
  z_loss: "weight of the z-loss",
  label_smoothing: "part of the wanted probability that is spread over the vocabulary",
  dtype: "of the weights: f32, or bf16 with f32 masters",
  checkpoint_activations: "run each block again in the backward pass: less memory",
  seed: "of the weights and of the order of the data",
  log_every: "updates between lines of metrics",
  eval_every: "updates between validations; 0 for none",
  eval_batches: "batches of a validation",
  sample_every: "updates between samples of text; 0 for none",
  prompt: "what the samples begin with",
  sample_tokens: "tokens of a sample",
  save_every: "updates between checkpoints; 0 for one at the end",
  keep: "checkpoints that are kept",
  out: "folder of the run",
  threads: "threads, default the cores available to the process",
}

/** Fields that may differ when a run is resumed. What most of them change is not what is computed;
 *  that the data is the same is seen from what it holds; with other `steps` the schedule is theirs. */
export const freeFields: readonly Field[] = [
  "data",
  "steps",
  "log_every",
  "eval_every",
  "eval_batches",
  "sample_every",
  "prompt",
  "sample_tokens",
  "save_every",
  "keep",
  "out",
  "threads",
]

/** Fields of the sizes of a model, which first weights have already. */
const sizeFields: readonly Field[] = [
  "model",
  "layers",
  "dim",
  "head_dim",
  "alpha",
  "beta",
  "ffn_divisor",
  "queries_per_key",
  "vocab_size",
]

type Fields = Readonly<Record<string, unknown>>

/** What was expected of a field's value; undefined where it is one. */
export function fieldProblem(field: Field, value: unknown): string | undefined {
  return v.safeParse(schema.entries[field], value).issues?.[0].message
}

/** A configuration for fewer steps than it is made for: where `given` says nothing of the warm-up, that
 *  is shorter in proportion. Throws as `checkSettings` does, naming `from`. */
export function shortened(base: Fields, given: Fields, from: string): Fields {
  const sizes = base.init === undefined ? { model: "270M" } : {}
  const { steps, warmup_steps: warmup } = checkSettings({ ...sizes, ...base }, from)
  if (given.warmup_steps !== undefined || typeof given.steps !== "number") return base
  if (!(given.steps < steps)) return base
  return { ...base, warmup_steps: Math.round((warmup * given.steps) / steps) }
}

/** A configuration's fields with flags in their places. A named size stands for all sizes of the
 *  configuration but the vocabulary's, first weights for all. */
export function withFlags(base: Fields, flags: Fields): Fields {
  if (flags.init === undefined && flags.model === undefined) return { ...base, ...flags }
  const isKept = (field: string): boolean =>
    !sizeFields.includes(field as Field) || (field === "vocab_size" && flags.init === undefined)
  return { ...Object.fromEntries(Object.entries(base).filter(([f]) => isKept(f))), ...flags }
}

/** Settings with defaults. Throws TypeError or RangeError that names the field and `from`. */
export function checkSettings(json: unknown, from: string): Settings {
  const result = v.safeParse(schema, json)
  if (result.success) {
    const out = pathToWrite(result.output.out, `${from}: out`)
    return checkTogether({ ...result.output, out }, from)
  }
  const [issue] = result.issues
  const at = brief(v.getDotPath(issue) ?? "it")
  if (issue.type === "strict_object" && issue.expected === "never") {
    throw new RangeError(`${from}: there is no field ${at}. elm train --help lists them`)
  }
  const message = `${from}: ${at} is ${show(issue.input)}, expected ${issue.message}`
  throw issue.kind === "schema" && issue.type !== "picklist"
    ? new TypeError(message)
    : new RangeError(message)
}

/** Settings as a run has written them: with every field that has a default. Throws as `checkSettings`
 *  does: a default in place of what the run had would be another run. */
export function checkWritten(json: Fields, from: string): Settings {
  for (const [field, { default: usual }] of Object.entries(schema.entries)) {
    if (usual === undefined || json[field] !== undefined) continue
    throw new TypeError(`${from}: ${field} is missing, expected what the run had`)
  }
  return checkSettings(json, from)
}

function checkTogether(settings: Settings, from: string): Settings {
  const { batch_size, accumulation, steps, warmup_steps, lr, min_lr = 0 } = settings
  const { model, layers, dim, init, data, validation } = settings
  if (typeof validation === "string" && typeof data !== "string") {
    throw new RangeError(`${from}: validation is a path, and data names its own. Leave it out`)
  }
  if (batch_size % accumulation !== 0) {
    throw new RangeError(
      `${from}: batch_size ${batch_size} does not make ${accumulation} equal micro-batches`,
    )
  }
  if (warmup_steps > steps) {
    throw new RangeError(`${from}: warmup_steps ${warmup_steps} exceed the ${steps} steps`)
  }
  if (min_lr > lr) throw new RangeError(`${from}: min_lr ${min_lr} exceeds the lr of ${lr}`)
  const size = sizeFields.find((field) => settings[field] !== undefined)
  if (init !== undefined && size !== undefined) {
    throw new RangeError(`${from}: init brings its own sizes. Leave ${size} out`)
  }
  if (model === undefined && init === undefined && (layers === undefined || dim === undefined)) {
    throw new RangeError(`${from}: give model, or init, or layers and dim`)
  }
  return settings
}

const textFields: readonly Field[] = ["model", "init", "data", "tokenizer", "prompt", "out"]

/** A flag's text as the value of a field: a number, two of them, or the text. */
export function parseValue(field: Field, text: string): number | readonly number[] | string {
  if (textFields.includes(field)) return text
  const numbers = text.split(",").map((part) => decimal(part.trim()))
  if (numbers.some((x) => Number.isNaN(x))) return text
  return numbers.length === 1 ? (numbers[0] as number) : numbers
}
