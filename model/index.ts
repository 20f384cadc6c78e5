// OpenELM: sizes, weights, generation.
export { bytesText, decimal, threeDigits } from "./amount.ts"
export {
  type ModelFolder,
  openModelFolder,
  readConfig,
  type TensorSource,
} from "./checkpoints/folder.ts"
export { markOf, type QuantizedFormat, quantizedFormats } from "./checkpoints/format.ts"
export { quantizedTensors } from "./checkpoints/quantized.ts"
export {
  openSafetensors,
  type SafetensorsFile,
  type TensorData,
  writeSafetensors,
} from "./checkpoints/safetensors.ts"
export {
  onlyFinite,
  rowTensors,
  type SavedDType,
  savedFiles,
  saveModel,
} from "./checkpoints/saving.ts"
export {
  type ConfigSpec,
  configJson,
  configOf,
  type ModelConfig,
  type ModelName,
  type Multipliers,
  modelNames,
  parameterCount,
  parseConfig,
  type SizeName,
  scaledConfig,
  tensorShapes,
} from "./config.ts"
export {
  folderAtomically,
  removeTemporaries,
  syncFolder,
  writeAtomically,
  writeFileWhole,
} from "./files/atomic.ts"
export { faultText, systemFault } from "./files/faults.ts"
export { cannot, pathToWrite } from "./files/files.ts"
export type { Waiting } from "./files/http.ts"
export {
  type Attend,
  block,
  embedded,
  type LayerWeights,
  type Pass,
  type Weights,
} from "./forward.ts"
export { type GenerateOptions, isList, nextTurn, type Token } from "./generate/generate.ts"
export { type GenerationDefaults, generationFile } from "./generate/generation.ts"
export { type CacheDType, cacheDTypes, Session } from "./generate/session.ts"
export type { TokenizerOption } from "./generate/text.ts"
export { type LossOptions, type LossTerms, lossTerms } from "./loss.ts"
export {
  type NormKind,
  normalisers,
  normKinds,
  normsOf,
  type Stream,
  settler,
  trainable,
} from "./norms.ts"
export { OpenELM } from "./openelm.ts"
export type { LoadOptions, ModelOptions, RandomOptions, SaveOptions } from "./options.ts"
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
export { loadMatrix, loadVector } from "./weights/reading.ts"
export { outlineWeights, type Progress } from "./weights/weights.ts"
