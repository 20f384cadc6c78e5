// The engine: tensors, the call graph, gradients, plans, and what a backend must offer.
export { alignUp } from "./arena.ts"
export { type Backend, type Buffer, DeviceLostError, type Prepared } from "./backend.ts"
export { checkBackend, checkObject, checkWhole, kindOf } from "./check.ts"
export {
  type DType,
  decode,
  dtypeCode,
  encode,
  fromBf16,
  isDType,
  isSingle,
  itemBytes,
  roundEven,
  type TypedArray,
  toBf16,
  viewOf,
} from "./dtype.ts"
export { derivedVjp, grad, type Tensors, vjp, vjpFrom, vjpOf } from "./grad.ts"
export {
  type KernelCondition,
  type KernelFeature,
  type KernelVariant,
  kernelFeatures,
} from "./kernel.ts"
export { Binding, checkFreed, Lifetime, type LivingBuffer } from "./lifetime.ts"
export {
  type Alternative,
  type Arrays,
  type Attrs,
  type Call,
  type Case,
  type Cost,
  type Each,
  type Gradients,
  type In,
  isOwn,
  isWord,
  type Maybe,
  type Named,
  type NameOf,
  type NamesOf,
  type Op,
  type OpFunction,
  type Out,
  op,
  type Result,
  type Split,
} from "./op.ts"
export type { Place, Storage } from "./place.ts"
export {
  addOp,
  binary,
  copyOp,
  each,
  elementKernels,
  plain,
  refuse,
  size,
} from "./plain.ts"
export {
  inStages,
  type Plan,
  plan,
  planStages,
  type Stage,
  type Step,
  type Update,
} from "./plan.ts"
export { normalAt, threefry, uniformAt } from "./random.ts"
export { read, readBound, readInto, readTensors, runOnce } from "./run.ts"
export type { Dim, Signature, Sizes, Slot } from "./signature.ts"
export {
  allocate,
  bound,
  bufferOf,
  constant,
  type Origin,
  offsetOf,
  type Shape,
  sizeOf,
  Tensor,
} from "./tensor.ts"
