// The op table: the only list of ops. The build takes the kernels from it, the tests their cases.
import type { Op } from "../engine/index.ts"
import { adamWOps } from "./adamw.ts"
import { attention } from "./attention.ts"
import { causalAttention, causalAttentionGrad } from "./causal_attention.ts"
import { multiplyAdd, streamSum } from "./ceiling.ts"
import { crossEntropy, crossEntropyGrad } from "./crossentropy.ts"
import { elementwiseOps } from "./elementwise.ts"
import { embed, embedGrad } from "./embed.ts"
import { indexingOps } from "./indexing.ts"
import { layerNorm } from "./layernorm.ts"
import { matmulOps } from "./matmul.ts"
import { matmulGradOps } from "./matmul_grad.ts"
import { movementOps } from "./movement.ts"
import { packOps } from "./pack.ts"
import { sumParts } from "./parts.ts"
import { advance } from "./position.ts"
import { quantizedOps } from "./quantized.ts"
import { quantizedPackOps } from "./quantized_pack.ts"
import { randomOps } from "./random.ts"
import { reduceOps } from "./reduce.ts"
import { addRmsNorm, addRmsNormGrad, rmsNorm, rmsNormGrad } from "./rmsnorm.ts"
import { qkNormRope, ropeWrite } from "./rope.ts"
import { mergeParts, ropeAttentionParts } from "./rope_attention.ts"
import { qkNormRopeTrain, qkNormRopeTrainGrad } from "./rope_train.ts"
import { meanRows, scaleColumns, scaleRows } from "./rows.ts"
import { sample } from "./sample.ts"
import { softmax } from "./softmax.ts"
import { swiglu, swigluPanels, swigluPanelsGrad } from "./swiglu.ts"

export { accumulate, adamW, squareSums, squaresPerPart } from "./adamw.ts"
export { attention } from "./attention.ts"
export { causalAttention } from "./causal_attention.ts"
export { lanes, multiplyAdd, streamSum } from "./ceiling.ts"
export { crossEntropy, crossEntropyGrad } from "./crossentropy.ts"
export {
  add,
  affine,
  div,
  equal,
  exp,
  less,
  log,
  mul,
  rsqrt,
  select,
  sigmoid,
  sub,
} from "./elementwise.ts"
export { embed, embedGrad, noPadding } from "./embed.ts"
export { cast, readRows, scatterAdd, take, writeRows } from "./indexing.ts"
export { layerNorm } from "./layernorm.ts"
export {
  matmul,
  matmulAdd,
  matmulSwiglu,
  normMatmul,
  normMatmulSwiglu,
} from "./matmul.ts"
export { matmulGradW, matmulGradWAdd, matmulGradX } from "./matmul_grad.ts"
export {
  broadcast,
  copy,
  permute,
  reshape,
  restride,
  type Strides,
  slice,
  spreadInto,
} from "./movement.ts"
export { pack, randomPanels, unpack } from "./pack.ts"
export { panelsOf, panelWidth, unpanel } from "./panels.ts"
export { sumParts } from "./parts.ts"
export { advance } from "./position.ts"
export {
  embedQuantized,
  matmulAddQuantized,
  matmulQuantized,
  matmulSwigluQuantized,
  normMatmulQuantized,
  normMatmulSwigluQuantized,
} from "./quantized.ts"
export { blockBytes, blocksOf, dequantize, quantize } from "./quantized_pack.ts"
export { randomNormal, randomUniform } from "./random.ts"
export { argmax, cumsum, dot, max, maxRows, mean, sort, sum, sumRows } from "./reduce.ts"
export { addRmsNorm, normalise, rmsNorm } from "./rmsnorm.ts"
export { qkNormRope, ropeAngles, ropeFrequencies, ropeWrite, rotate } from "./rope.ts"
export { isSliceable, mergeParts, ropeAttentionParts, slicesOf } from "./rope_attention.ts"
export { qkNormRopeTrain } from "./rope_train.ts"
export { meanRows, scaleColumns, scaleRows } from "./rows.ts"
export { sample } from "./sample.ts"
export { softmax, softmaxOf } from "./softmax.ts"
export { gated, swiglu, swigluPanels, swigluPanelsGrad } from "./swiglu.ts"

/** Ops that everything else means, each with its own plain loop. */
export const plainOps: readonly Op[] = [
  ...elementwiseOps,
  ...movementOps,
  ...reduceOps,
  ...indexingOps,
  ...randomOps,
  ...quantizedPackOps,
  advance.op,
]

/** Ops with a meaning in plain ops, and kernels of their own where a backend has them. */
export const fusedOps: readonly Op[] = [
  embed.op,
  embedGrad.op,
  rmsNorm.op,
  addRmsNorm.op,
  rmsNormGrad.op,
  addRmsNormGrad.op,
  layerNorm.op,
  ...matmulOps,
  ...matmulGradOps,
  qkNormRope.op,
  ropeWrite.op,
  qkNormRopeTrain.op,
  qkNormRopeTrainGrad.op,
  sumParts.op,
  meanRows.op,
  scaleRows.op,
  scaleColumns.op,
  attention.op,
  ropeAttentionParts.op,
  mergeParts.op,
  causalAttention.op,
  causalAttentionGrad.op,
  swiglu.op,
  swigluPanels.op,
  swigluPanelsGrad.op,
  softmax.op,
  crossEntropy.op,
  crossEntropyGrad.op,
  ...adamWOps,
  sample.op,
  ...packOps,
  ...quantizedOps,
  streamSum.op,
  multiplyAdd.op,
]

/** Fused ops of which only GPUs have kernels: elsewhere those that they stand for serve better. */
export const gpuOps: readonly Op[] = [ropeAttentionParts.op, mergeParts.op]

export const allOps: readonly Op[] = [...plainOps, ...fusedOps]
