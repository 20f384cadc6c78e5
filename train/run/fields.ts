// The one list of what a training run is asked for: each field's check and default, what it is, and
// all that configurations, `train` and the flags of `elm train` go by. One more is a line here. What
// it means to a step is ../step/options.ts.
import * as v from "valibot"
import { configOf } from "../../model/index.ts"
import { choice, flag, whole } from "../../model/schema.ts"
import { isPositive } from "../checks.ts"
import { optimizerNames } from "../optimizers/index.ts"
import {
  below1,
  field,
  fieldList,
  notNegative,
  part,
  path,
  positive,
  real,
  text,
} from "./field_list.ts"

// Rates are rounded to eight decimals (schedule.ts).
const rate = real(
  "a number above 0 (from 1e-8 to 3.4e38: rates have eight decimals)",
  (x) => x >= 5e-9 && isPositive(x),
)
const pair = v.strictTuple([positive, positive], "two numbers, such as 0.5,1.0")
const optional = v.optional

const model = field("model")
const data = field("data")
const optimization = field("optimization")
const evaluation = field("evaluation")
const output = field("output")
const [isSize, isPath, isSource, isText, isFree] = [true, true, true, true, true] as const

/** In the order in which help has them. */
const list = {
  model: model(
    optional(text),
    "size to train: 270M, 450M, 1.1B or 3B; the fields below replace parts of it",
    { isSize, isText, check: (name) => configOf(name) },
  ),
  init: model(
    optional(text),
    "model whose weights to start from, instead of seeded random ones: a folder or file, a URL, or ORG/NAME",
    { isPath, isSource, isText },
  ),
  layers: model(optional(whole(1)), "transformer layers", { isSize }),
  dim: model(optional(whole(1)), "model width", { isSize }),
  headDim: model(optional(whole(2)), "width of a head", { isSize }),
  alpha: model(optional(pair), "query width over model width, first and last layer", { isSize }),
  beta: model(optional(pair), "feed-forward width over model width, first and last layer", {
    isSize,
  }),
  ffnDivisor: model(optional(whole(1)), "feed-forward widths are multiples of this", { isSize }),
  queriesPerKey: model(optional(whole(1)), "query heads that share a key/value head", {
    isSize,
  }),
  vocabSize: model(optional(whole(1)), "rows of the embedding; default what the tokenizer has", {
    isSize,
  }),
  dtype: model(
    optional(choice("f32", "bf16"), "f32"),
    "of the weights: f32, or bf16 with f32 masters",
  ),
  seed: model(optional(whole(0, 2 ** 32 - 1), 0), "of the weights and of the order of the data"),

  data: data(
    optional(v.union([text, v.looseObject({})], "a path, or an object with sources")),
    "text file or folder, packed, or YAML file of sources; in a YAML file also the sources",
    { isPath, isText, isFree },
  ),
  validation: data(
    optional(v.union([part, path], "a path, or a number from 0 to 0.5")),
    "file to validate on, or the part of data that is held out for it; default 0.05",
    { isPath, idle: ["evalEvery", 0] },
  ),
  tokenizer: data(
    optional(text),
    'tokenizer.model, tokenizer.json, their folder, a URL, ORG/NAME, or "byte"',
    { isPath, isSource, isText },
  ),
  sequenceLength: data(optional(whole(1), 2048), "positions of a sample"),
  batchSize: data(optional(whole(1), 8), "samples of one update"),

  shards: data(
    optional(whole(1)),
    "parts that the data is read in, each for micro-batches of its own; default 1, of sources one for each process",
  ),

  steps: optimization(optional(whole(1), 1000), "updates", { isFree }),
  accumulation: optimization(
    optional(whole(1), 1),
    "micro-batches of one update, which several processes share; on these at least one for each",
  ),
  accumulate: optimization(
    optional(choice("sum", "mean"), "mean"),
    "whether their gradients are averaged or, as the release did, summed: mean or sum",
    { idle: ["accumulation", 1] },
  ),
  meanOver: optimization(
    optional(choice("targets", "shards")),
    "what counts the same in the loss: every target (default) or, as in the release, every shard",
  ),
  lr: optimization(optional(rate, 3e-3), "largest learning rate"),
  minLr: optimization(
    optional(notNegative),
    "smallest learning rate, at the end; default a tenth of lr",
  ),
  warmupSteps: optimization(optional(whole(0), 100), "updates until the largest learning rate"),
  warmupInitLr: optimization(optional(notNegative, 1e-6), "learning rate of the first update", {
    idle: ["warmupSteps", 0],
  }),
  optimizer: optimization(
    optional(choice(...optimizerNames), "adamw"),
    "what moves the weights: adamw, or sgd with momentum",
  ),
  betas: optimization(
    optional(v.strictTuple([below1, below1], "two numbers, such as 0.9,0.95"), [0.9, 0.95]),
    "AdamW's decay rates of the moments",
  ),
  eps: optimization(optional(positive, 1e-8), "AdamW's epsilon"),
  weightDecay: optimization(optional(notNegative, 0.1), "weight decay of everything but the norms"),
  clip: optimization(optional(positive, 1), "largest global norm of the gradients"),
  zLoss: optimization(optional(notNegative, 1e-4), "weight of the z-loss"),
  labelSmoothing: optimization(
    optional(below1, 0),
    "part of the wanted probability that is spread over the vocabulary",
  ),
  checkpointActivations: optimization(
    optional(flag, false),
    "run each block again in the backward pass: less memory",
  ),

  evalEvery: evaluation(optional(whole(0), 250), "updates between validations; 0 for none", {
    isFree,
  }),
  evalBatches: evaluation(optional(whole(1), 16), "batches of a validation", {
    isFree,
    idle: ["evalEvery", 0],
  }),
  sampleEvery: evaluation(optional(whole(0), 250), "updates between samples of text; 0 for none", {
    isFree,
  }),
  prompt: evaluation(optional(text, "It is a truth"), "what the samples begin with", {
    isText,
    isFree,
    idle: ["sampleEvery", 0],
  }),
  sampleTokens: evaluation(optional(whole(1), 60), "tokens of a sample", {
    isFree,
    idle: ["sampleEvery", 0],
  }),

  out: output(optional(path, "elm-run"), "folder of the run", { isText, isFree }),
  logEvery: output(optional(whole(1), 10), "updates between lines of metrics", { isFree }),
  saveEvery: output(optional(whole(0), 250), "updates between checkpoints; 0 for one at the end", {
    isFree,
  }),
  keep: output(optional(whole(1), 2), "checkpoints that are kept", { isFree }),

  shard: field("machine")(
    optional(choice("none", "state", "full")),
    "what each of several processes keeps of its part of the weights alone: none (default), state, or full, the weights too",
    { isFree },
  ),
  shardState: field("machine")(optional(flag), "the same as --shard state", { isFree }),
  threads: field("machine")(
    optional(whole(1, 256)),
    "threads, default the cores available to the process",
    { isFree },
  ),
}

export const trainFields = fieldList("elm train", list)

/** Settings of a run, with their defaults. */
export type Settings = v.InferOutput<typeof trainFields.schema>
