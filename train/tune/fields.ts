// What every tuning run is asked for; an objective adds fields of its own, and defaults.
import * as v from "valibot"
import { weightDTypes } from "../../model/index.ts"
import { choice, flag, whole } from "../../model/schema.ts"
import { optimizerNames } from "../optimizers/index.ts"
import {
  type About,
  below1,
  field,
  fieldList,
  notNegative,
  part,
  path,
  positive,
  text,
} from "../run/field_list.ts"
import { schedules } from "./schedule.ts"

const optional = v.optional
export const [model, data, optimization, evaluation, output] = [
  field("model"),
  field("data"),
  field("optimization"),
  field("evaluation"),
  field("output"),
]
export const [isPath, isSource, isText, isFree] = [true, true, true, true] as const

const ofAdapter: Pick<About, "idle"> = { idle: ["adapter", "none"] }
const ofNew = { ...ofAdapter, broughtBy: "from" } as const
const ofSamples = { isFree, idle: ["sampleEvery", 0] } as const
const ofRelease = { idle: ["schedule", "cosine"] } as const

const models = {
  model: model(
    optional(path),
    "model to tune: a folder or file, a URL, or ORG/NAME; base of the adapter",
    { isPath, isSource, isText, isFree },
  ),
  tokenizer: model(optional(text), "another tokenizer than the model's", {
    isPath,
    isSource,
    isText,
    isFree,
  }),
  dtype: model(
    optional(choice(...weightDTypes), "f32"),
    "of the model's weights: q8 and q4 beside an adapter only (QLoRA)",
  ),
  adapter: model(
    optional(choice("lora", "dora", "none"), "lora"),
    "what is trained: lora or dora beside the weights, or none: the weights themselves",
  ),
  from: model(
    optional(path),
    "adapter to go on from, a folder as PEFT's; it brings its own sizes",
    {
      isPath,
      isText,
      ...ofAdapter,
    },
  ),
  anyBase: model(optional(flag, false), "of an adapter to go on from: beside another base, too", {
    isFree,
    ...ofAdapter,
  }),
  rank: model(optional(whole(1, 65536), 32), "rank of the adapter's matrices", ofNew),
  alpha: model(optional(positive, 32), "what the adapter adds counts alpha / rank times", ofNew),
  rankStabilised: model(optional(flag, false), "count it alpha / √rank times (rsLoRA)", ofNew),
  dropout: model(optional(below1, 0), "part of an adapter's inputs that is left out", ofAdapter),
  targets: model(
    optional(text, ""),
    "modules with an adapter, such as qkv_proj,out_proj; default as in the release, or all linear ones",
    { isText, ...ofNew },
  ),
  seed: model(
    optional(whole(0, 2 ** 32 - 1), 0),
    "of the adapter's first numbers, its dropout, the order of the data and what is held out",
  ),
}

const dataFields = {
  data: data(optional(path), "records: .json with a list, .jsonl or .parquet", {
    isPath,
    isText,
    isFree,
  }),
  validation: data(
    optional(v.union([part, path], "a path, or a number from 0 to 0.5"), 0.05),
    "records to validate on, or the part of data that is held out for it; default 0.05",
    { isPath },
  ),
  skipBad: data(
    optional(flag, false),
    "pass over records that cannot be used, and count them, instead of ending",
  ),
  batchSize: data(optional(whole(1), 8), "examples of one update"),
}

const optimizationFields = {
  epochs: optimization(optional(positive, 3), "how often the data is gone through", { isFree }),
  steps: optimization(optional(whole(1)), "updates, in place of epochs", { isFree }),
  accumulation: optimization(optional(whole(1), 1), "micro-batches of one update"),
  lr: optimization(optional(positive, 2e-4), "largest learning rate"),
  schedule: optimization(
    optional(choice(...schedules), "cosine"),
    "cosine: a warm-up by part and half a cosine to 0; release: by updates, to min-lr",
  ),
  warmupRatio: optimization(optional(below1, 0.1), "part of the updates that warms up", {
    idle: ["schedule", "release"],
  }),
  warmupSteps: optimization(optional(whole(0), 100), "updates that warm up", ofRelease),
  warmupInitLr: optimization(optional(notNegative, 1e-6), "rate of the first update", ofRelease),
  minLr: optimization(optional(notNegative), "rate at the end; default a tenth of lr", ofRelease),
  optimizer: optimization(
    optional(choice(...optimizerNames), "adamw"),
    "what moves the numbers: adamw, or sgd with momentum",
  ),
  betas: optimization(
    optional(v.strictTuple([below1, below1], "two numbers, such as 0.9,0.95"), [0.9, 0.999]),
    "AdamW's decay rates of the moments",
  ),
  eps: optimization(optional(positive, 1e-8), "AdamW's epsilon"),
  weightDecay: optimization(optional(notNegative, 0), "weight decay of matrices"),
  clip: optimization(optional(positive, 1), "largest global norm of the gradients"),
  checkpointActivations: optimization(
    optional(flag, false),
    "run each block again in the backward pass: less memory",
  ),
}

const evaluationFields = {
  evalEvery: evaluation(
    optional(whole(0), 50),
    "updates between validations; 0 for one at the end",
    { isFree },
  ),
  evalExamples: evaluation(optional(whole(1), 256), "examples of a validation, at most"),
  keepBest: evaluation(optional(flag, true), "keep the checkpoint of the best validation", {
    isFree,
  }),
  patience: evaluation(
    optional(whole(0), 0),
    "validations without a better one after which the run ends; 0 for never",
    { isFree, idle: ["keepBest", false] },
  ),
  sampleEvery: evaluation(optional(whole(0), 50), "updates between samples; 0 for none", {
    isFree,
  }),
  prompt: evaluation(optional(text, ""), "what samples begin with; default a record's prompt", {
    isText,
    ...ofSamples,
  }),
  sampleTokens: evaluation(optional(whole(1), 60), "tokens of a sample", ofSamples),
}

const outputFields = {
  out: output(optional(path, "elm-tune"), "folder of the run", { isText, isFree }),
  logEvery: output(optional(whole(1), 10), "updates between lines of metrics", { isFree }),
  saveEvery: output(optional(whole(0), 50), "updates between checkpoints; 0 for one at the end", {
    isFree,
  }),
  keep: output(optional(whole(1), 2), "checkpoints that are kept, beside the best", { isFree }),
  shard: field("machine")(
    optional(choice("none", "state", "full")),
    "what each of several processes keeps of its part alone: none (default), state, or full, the model's weights too",
    { isFree },
  ),
  threads: field("machine")(
    optional(whole(1, 256)),
    "threads, default the cores available to the process",
    { isFree },
  ),
}

const common = {
  ...models,
  ...dataFields,
  ...optimizationFields,
  ...evaluationFields,
  ...outputFields,
}

type Declared = Parameters<typeof fieldList>[1]

/** The fields of an objective: those of all, with its own in their groups after them. */
export function tuneFields<const L extends Declared>(name: string, own: L) {
  // An objective's default is in the place of the common one.
  const all = { ...common, ...own } as Omit<typeof common, keyof L> & L
  return fieldList(`elm tune ${name}`, all)
}

const plain = fieldList("elm tune", common)
/** What the settings of all have. */
export type TuneSettings = v.InferOutput<typeof plain.schema>
