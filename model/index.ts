// OpenELM: sizes, weights, generation.
export { bytesText, decimal, threeDigits } from "./amount.ts"
export {
  folderAtomically,
  removeTemporaries,
  syncFolder,
  writeAtomically,
  writeFileWhole,
} from "./atomic.ts"
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
export { faultText, systemFault } from "./faults.ts"
export { cannot, pathToWrite } from "./files.ts"
export { type ModelFolder, openModelFolder, readConfig, type TensorSource } from "./folder.ts"
export { markOf, type QuantisedFormat, quantisedFormats } from "./format.ts"
export {
  type Attend,
  block,
  embedded,
  type LayerWeights,
  type Pass,
  type Weights,
} from "./forward.ts"
export { type GenerateOptions, isList, nextTurn, type Token } from "./generate.ts"
export { type GenerationDefaults, generationFile } from "./generation.ts"
export { Holder } from "./holder.ts"
export type { Waiting } from "./http.ts"
export { type Spec, specsOf, type WeightDType, weightBytes, weightDTypes } from "./layout.ts"
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
export { quantisedTensors } from "./quantised.ts"
export { loadMatrix, loadVector } from "./reading.ts"
export {
  openSafetensors,
  type SafetensorsFile,
  type TensorData,
  writeSafetensors,
} from "./safetensors.ts"
export { onlyFinite, rowTensors, type SavedDType, savedFiles, saveModel } from "./saving.ts"
export { type CacheDType, cacheDTypes, Session } from "./session.ts"
export { shippedModel } from "./shipped.ts"
export type { TokenizerOption } from "./text.ts"
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
export { outlineWeights, type Progress } from "./weights.ts"
