// OpenELM: sizes, weights, generation.
export { type Adapter, adapterInternals } from "./adapters/adapter.ts"
export { savedAdapterFiles } from "./adapters/files.ts"
export {
  addAdapter,
  copyAdapter,
  type LoadAdapterOptions,
  loadAdapter,
  mergeAdapter,
} from "./adapters/index.ts"
export type { MergeOptions } from "./adapters/merge.ts"
export type { AdapterConfig, AdapterKind, AdapterOptions } from "./adapters/options.ts"
export { trainedBeside } from "./adapters/parts.ts"
export { adapted, moving } from "./adapters/recorder.ts"
export { type AdapterTensor, fileRows, writeNumbers } from "./adapters/tensors.ts"
export { bytesText, decimal, threeDigits } from "./amount.ts"
export type { DecoderConfig, DecoderWeights } from "./architecture.ts"
export { architectureOf } from "./architectures/index.ts"
export { olmoConfig } from "./architectures/olmo.ts"
export {
  type ConfigSpec,
  configOf,
  type ModelConfig,
  type Multipliers,
  scaledConfig,
} from "./architectures/openelm/config.ts"
export { type ModelName, modelNames, type SizeName } from "./architectures/openelm/sizes.ts"
export {
  anglesOf,
  cachedAttention,
  type Heads,
  headsApart,
  normsOfHeads,
} from "./cached_attention.ts"
export type { ChatCompletionOptions, ChatOptions } from "./chat/chat.ts"
export {
  type ChatMessage,
  checkMessages,
  instructed,
  rendered,
  type TemplateOptions,
} from "./chat/template.ts"
export type { ChatTemplates } from "./chat/templates.ts"
export type { Checkpoint, StoredTensor } from "./checkpoints/checkpoint.ts"
export { openCheckpoint } from "./checkpoints/formats.ts"
export { fileDTypes } from "./checkpoints/header.ts"
export { type Made, writeQuantized } from "./checkpoints/quantize.ts"
export { type QuantizedFormat, quantizedFormats } from "./checkpoints/quantized_format.ts"
export {
  openSafetensors,
  type SafetensorsFile,
  type TensorData,
  writeSafetensors,
} from "./checkpoints/safetensors.ts"
export {
  onlyFinite,
  type SavedDType,
  savedFiles,
  saveModel,
} from "./checkpoints/saving.ts"
export type { CheckpointWriter, WrittenFormat } from "./checkpoints/writer.ts"
export { writerNamed, writerNames } from "./checkpoints/writers.ts"
export {
  configJson,
  parameterCount,
  parseConfig,
  publishedConfig,
  publishedNames,
  tensorShapes,
} from "./config.ts"
export { type ConvertOptions, convert } from "./convert.ts"
export {
  describeModel,
  type LayerSizes,
  type ModelDescription,
  type TensorTotal,
} from "./description.ts"
export {
  folderAtomically,
  inTemporaryFolder,
  removeTemporaries,
  syncFolder,
  writeAtomically,
  writeFileWhole,
} from "./files/atomic.ts"
export { cannot } from "./files/disk.ts"
export { faultText, systemFault } from "./files/faults.ts"
export type { Waiting } from "./files/http.ts"
export { HubError, type HubFault } from "./files/hub/faults.ts"
export { hubSettings } from "./files/hub/settings.ts"
export { datasetTree } from "./files/hub/tree.ts"
export { type FileSource, meansPath, openFile, pathToWrite, treeOf } from "./files/source.ts"
export { contentOf, type FileTree } from "./files/tree.ts"
export type { Decoder } from "./forward.ts"
export type { BeamOptions } from "./generate/beam_options.ts"
export { QueueFullError } from "./generate/bounds.ts"
export type { CompleteOptions, Prompt } from "./generate/complete.ts"
export type { Completion, FinishReason, Request, TokenUsage } from "./generate/completion.ts"
export type { ContinuationScore } from "./generate/continuations.ts"
export type { ContinuousCounts } from "./generate/counts.ts"
export type { DraftRound } from "./generate/draft.ts"
export type { DraftOptions } from "./generate/drafters.ts"
export type { EmbedOptions } from "./generate/embed.ts"
export type { Token } from "./generate/generate.ts"
export { type GenerationDefaults, generationFile, newTokensOf } from "./generate/generation.ts"
export type { Likely, Logprobs, Sampler } from "./generate/host.ts"
export { ContextLengthError, isList } from "./generate/ids.ts"
export type { JsonOption } from "./generate/json/index.ts"
export { optionsOfKwargs } from "./generate/kwargs.ts"
export type { GenerateOptions } from "./generate/options.ts"
export type { Continued } from "./generate/passes.ts"
export type { Scored } from "./generate/prefill.ts"
export { type ProcessorOptions, processorList } from "./generate/processors/chain.ts"
export type {
  Change as LogitsProcessor,
  Step as GenerationStep,
} from "./generate/processors/processor.ts"
export type { SequenceBias } from "./generate/processors/sequence_bias.ts"
export type { PromptCache } from "./generate/prompt_cache.ts"
export type { Scores } from "./generate/sequence.ts"
export { Session } from "./generate/session.ts"
export type { OverflowOptions } from "./generate/slide.ts"
export { type CacheDType, cacheDTypes } from "./generate/state.ts"
export type { TokenizerOption } from "./generate/text.ts"
export { nextTurn } from "./generate/turn.ts"
export type { Internals, Placement } from "./internals.ts"
export {
  internals,
  LanguageModel,
  LanguageModel as OpenELM,
  loadModel,
  randomModel,
} from "./language_model.ts"
export { configIn, type OpenedModel, openModel, readConfig, tokenizerOfModel } from "./opened.ts"
export type { LoadOptions, ModelOptions, RandomOptions, SaveOptions } from "./options.ts"
export { printable } from "./printable.ts"
export { gatedProduct, product } from "./products.ts"
export {
  type Activation,
  type AttentionSpec,
  biased,
  type CachedRecorder,
  embed,
  type Inputs,
  inference,
  type LayerCache,
  type Linear,
  multiply,
  multiplyAdd,
  type Norm,
  normalized,
  normed,
  positionsOf,
  productThen,
  type Recorder,
  type RecorderOf,
  type Stream,
} from "./recorder.ts"
export type { AnswerPart, Serving } from "./serving.ts"
export { shippedModel } from "./shipped.ts"
export {
  type EncodeOptions,
  loadTokenizer,
  parseTokenizer,
  type TextStream,
  type Tokenizer,
  tokenizerFiles,
  tokenizerIn,
  tokenizersIn,
} from "./tokenizer/index.ts"
export { Usage } from "./usage.ts"
export { Holder } from "./weights/holder.ts"
export {
  type Spec,
  specsOf,
  type WeightDType,
  weightBytes,
  weightDTypes,
} from "./weights/layout.ts"
export { type Lent, lending } from "./weights/lent.ts"
export { loadMatrix, loadVector } from "./weights/reading.ts"
export type { TensorSource } from "./weights/rows.ts"
export { unitsOf } from "./weights/units.ts"
export { publishedTensors, rowTensors } from "./weights/unpacking.ts"
export {
  copyWeights,
  type LoadedWeights,
  outlineWeights,
  type Progress,
  type WeightHome,
  type WeightLayout,
} from "./weights/weights.ts"
