// The public interface of openelm.
export {
  type BackendName,
  backendNames,
  type OpenBackend,
  open,
  type WasmOptions,
} from "./backends/index.ts"
export {
  allocate,
  type Backend,
  type Buffer,
  bound,
  constant,
  type DType,
  grad,
  type Plan,
  type Prepared,
  plan,
  readBound,
  runOnce,
  type Shape,
  type Step,
  Tensor,
  type Update,
} from "./engine/index.ts"
export {
  type ConfigSpec,
  configOf,
  type GenerateOptions,
  type ModelConfig,
  type ModelOptions,
  modelNames,
  type NormKind,
  OpenELM,
  parameterCount,
  type RandomOptions,
  scaledConfig,
  type Token,
  type WeightDType,
} from "./model/index.ts"
export * as ops from "./ops/index.ts"
