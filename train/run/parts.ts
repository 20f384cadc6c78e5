// What a run is put together from, as its settings say: data, tokenizer, model.
import type { Backend } from "../../engine/index.ts"
import {
  configOf,
  type LanguageModel,
  loadModel,
  loadTokenizer,
  type ModelConfig,
  type Placement,
  randomModel,
  scaledConfig,
  type Tokenizer,
  tokenizerOfModel,
  type Waiting,
} from "../../model/index.ts"
import { type DataOptions, loadDataConfig, type Sample, textPipeline } from "../data/index.ts"
import { tensorsBeside } from "../optimizers/index.ts"
import type { Communicator } from "../parallel/communicator.ts"
import { sharedModel } from "../parallel/weights.ts"
import type { TrainOptions } from "../step/options.ts"
import type { Settings } from "./fields.ts"

/** Whether the data of a run is a file of sources, rather than a text. */
export const isYaml = (data: unknown): data is string =>
  typeof data === "string" && /\.ya?ml$/i.test(data)

/** Words of a piece where some are held out: of a short text too. */
const heldOutWords = 256

/** The data of a run, with its length, and its seed where the data has none of its own. */
export async function dataSection({
  data,
  validation,
  sequenceLength,
  seed,
  batchSize,
  shards = 1,
}: Settings): Promise<DataOptions> {
  if (data === undefined) {
    throw new RangeError("give data: a text file, a folder, or a YAML file of sources")
  }
  // What a shard gives to an update comes from one of its workers.
  const turn = batchSize / shards
  // Of one long text, which is all that many have, the release's way would use a small part.
  const own = typeof data === "string" ? { sources: [data], pack: true } : data
  const held =
    typeof validation === "string"
      ? { validation: [validation] }
      : validation
        ? { holdOut: validation, wordsPerPiece: heldOutWords }
        : {}
  if (isYaml(data)) {
    // A file of data has an order of its own, which the run's seed shifts.
    const file = await loadDataConfig(data)
    const interleave = file.interleave === 1 ? turn : file.interleave
    return { ...file, ...held, sequenceLength, seed: file.seed + seed, interleave }
  }
  return { interleave: turn, seed, ...held, ...own, sequenceLength } as DataOptions
}

/** A checkpoint's tokenizer; else that of the settings, of the data, of the first weights' folder. */
export async function tokenizerOf(
  settings: Settings,
  data: DataOptions,
  checkpoint: string | undefined,
  waiting: Waiting = {},
): Promise<Tokenizer> {
  const { init } = settings
  const path = checkpoint ?? settings.tokenizer ?? data.tokenizer
  if (path !== undefined) return loadTokenizer(path, waiting)
  const own = init === undefined ? undefined : await tokenizerOfModel(init, waiting)
  if (own) return own
  throw new RangeError(
    'give tokenizer: a tokenizer.model, a tokenizer.json, their folder, or "byte"',
  )
}

/** The sizes of the model to be trained. Throws RangeError when the vocabulary is too small. */
function configFor(settings: Settings, tokenizer: Tokenizer): ModelConfig {
  const { model, layers, dim, headDim, alpha, beta, ffnDivisor, queriesPerKey } = settings
  const { vocabSize = tokenizer.vocabSize, sequenceLength } = settings
  if (vocabSize < tokenizer.vocabSize) {
    throw new RangeError(
      `a vocabulary of ${vocabSize} is less than the ${tokenizer.vocabSize} pieces of the tokenizer`,
    )
  }
  const given = {
    layers,
    modelDim: dim,
    headDim,
    qkvMultipliers: alpha,
    ffnMultipliers: beta,
    ffnDivisor,
    queryHeadsPerKeyHead: queriesPerKey,
  }
  const changes = {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    vocabSize: vocabSize,
    ...(tokenizer.bosId >= 0 ? { bosId: tokenizer.bosId } : {}),
    ...(tokenizer.eosId >= 0 ? { eosId: tokenizer.eosId } : {}),
    ...(tokenizer.padId < vocabSize ? { paddingIndex: tokenizer.padId } : {}),
  }
  if (model !== undefined) return configOf(model, changes)
  const own = { name: "OpenELM", headDim: 64, maxContext: sequenceLength }
  return scaledConfig({ ...own, layers: layers as number, modelDim: dim as number, ...changes })
}

/** The model: that of a checkpoint, of a folder of first weights, or a seeded random one. */
export async function modelOf(
  settings: Settings,
  tokenizer: Tokenizer,
  backend: Backend,
  checkpoint: string | undefined,
  { ranks, ...waiting }: Waiting & { readonly ranks: Communicator },
): Promise<LanguageModel> {
  const make = (placement: Placement) =>
    modelIn(settings, tokenizer, backend, checkpoint, { ...waiting, placement })
  const shard = shardOf(settings)
  if (shard === "full" && ranks.size > 1) return sharedModel(ranks, (home) => make({ home }))
  const beside = tensorsBeside(settings.optimizer, settings.dtype)
  return make({ room: Math.ceil(beside / (shard === "state" ? ranks.size : 1)) })
}

/** What ranks keep parts of. */
const shardOf = ({ shard, shardState }: Settings) => shard ?? (shardState ? "state" : "none")

async function modelIn(
  settings: Settings,
  tokenizer: Tokenizer,
  backend: Backend,
  checkpoint: string | undefined,
  { placement, ...waiting }: Waiting & { readonly placement: Placement },
): Promise<LanguageModel> {
  const { dtype, init, seed, sequenceLength } = settings
  const options = { backend, dtype, tokenizer }
  const folder = checkpoint ?? init
  if (folder === undefined) {
    return randomModel(configFor(settings, tokenizer), { ...options, seed }, placement)
  }
  const model = await loadModel(folder, { ...options, ...waiting }, placement)
  const { maxContext } = model.config
  if (sequenceLength <= maxContext) return model
  await model.close()
  throw new RangeError(
    `${folder} has a context of ${maxContext}, less than the sequence length ${sequenceLength}`,
  )
}

export const stepOptions = (
  settings: Settings,
  tokenizer: Tokenizer,
  ranks: Communicator,
): TrainOptions => ({
  ranks,
  optimizer: settings.optimizer,
  betas: settings.betas,
  eps: settings.eps,
  weightDecay: settings.weightDecay,
  clip: settings.clip,
  zLoss: settings.zLoss,
  labelSmoothing: settings.labelSmoothing,
  ignoreIndex: tokenizer.padId,
  accumulation: settings.accumulation,
  accumulate: settings.accumulate,
  ...(settings.shards !== undefined && { shards: settings.shards }),
  shard: shardOf(settings),
  ...(settings.meanOver !== undefined && { meanOver: settings.meanOver }),
  checkpointActivations: settings.checkpointActivations,
})

/** The samples that every validation of a run is made of; none without sources of its own, or of a
 *  text that is too short to hold a batch out. */
export async function validationSamples(
  { evalBatches, batchSize, evalEvery }: Settings,
  data: DataOptions,
  tokenizer: Tokenizer,
): Promise<Sample[]> {
  const samples: Sample[] = []
  const isHeldOut = (data.validation ?? []).length === 0
  if (evalEvery === 0 || (isHeldOut && !data.holdOut)) return samples
  const pipeline = textPipeline(data, { tokenizer, split: "validation", workers: 0 })
  for await (const sample of pipeline) {
    samples.push(sample)
    if (samples.length === evalBatches * batchSize) break
  }
  if (samples.length < batchSize && isHeldOut) return []
  if (samples.length >= batchSize)
    return samples.slice(0, samples.length - (samples.length % batchSize))
  throw new RangeError(
    `the validation sources give ${samples.length} samples, fewer than one batch of ${batchSize}`,
  )
}

/** The prompt and what follows it, with the same seed at the same step; undefined where the context
 *  or an empty prompt leaves nothing to begin with. */
export async function sampleOf(
  { prompt, sampleTokens, seed }: Settings,
  model: LanguageModel,
  tokenizer: Tokenizer,
  step: number,
): Promise<string | undefined> {
  const { capacity } = model
  const ids = tokenizer.encode(prompt, { bos: tokenizer.bosId >= 0 }).slice(0, capacity - 1)
  if (ids.length === 0) return undefined
  const maxNewTokens = Math.min(sampleTokens, capacity - ids.length)
  const sampling = { maxNewTokens, temperature: 0.8, topP: 0.95, seed: (seed + step) % 2 ** 32 }
  let sample = tokenizer.decode(ids)
  for await (const { text } of model.generate(ids, sampling)) sample += text
  return sample
}
