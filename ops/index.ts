// The op table: the only list of ops. The build takes the kernels from it, the tests their cases.
import type { Op } from "../engine/index.ts"
import { attention } from "./attention/attention.ts"
import { causalAttention, causalAttentionGrad } from "./attention/causal_attention.ts"
import { q8AttentionOps } from "./attention/q8_attention.ts"
import { q8HeadOps } from "./attention/q8_heads.ts"
import { q8RowOps } from "./attention/q8_rows.ts"
import { qkNormRope, ropeHeads, ropeWrite, splitHeads } from "./attention/rope.ts"
import { mergeParts, ropeAttention, ropeAttentionParts } from "./attention/rope_attention.ts"
import { qkNormRopeTrain, qkNormRopeTrainGrad } from "./attention/rope_train.ts"
import { crossEntropy, crossEntropyGrad } from "./logits/crossentropy.ts"
import { sample } from "./logits/sample.ts"
import { softmax } from "./logits/softmax.ts"
import { multiplyAdd, multiplyAddWhole, streamSum } from "./measure/ceiling.ts"
import { layerNorm, layerNormGrad } from "./norm/layernorm.ts"
import { addRmsNorm, addRmsNormGrad, rmsNorm, rmsNormGrad } from "./norm/rmsnorm.ts"
import { meanRows, scaleColumns, scaleRows } from "./norm/rows.ts"
import { elementwiseOps } from "./plain/elementwise.ts"
import { indexingOps } from "./plain/indexing.ts"
import { movementOps } from "./plain/movement.ts"
import { advance, positionIds } from "./plain/position.ts"
import { randomOps } from "./plain/random.ts"
import { reduceOps } from "./plain/reduce.ts"
import { biasOps } from "./product/bias.ts"
import { dequantizedOps } from "./product/dequantized.ts"
import { embed, embedGrad } from "./product/embed.ts"
import { fileBlockOps } from "./product/file_blocks.ts"
import { matmulOps } from "./product/matmul.ts"
import { matmulGradOps } from "./product/matmul_grad.ts"
import { packOps } from "./product/pack.ts"
import { quantizedOps } from "./product/quantized.ts"
import { quantizedPackOps } from "./product/quantized_pack.ts"
import { sumSquaresOps } from "./product/sum_squares.ts"
import { swiglu, swigluPanels, swigluPanelsGrad } from "./product/swiglu.ts"
import { sumParts } from "./shared/parts.ts"
import { adamWOps } from "./update/adamw.ts"

export { attention } from "./attention/attention.ts"
export { causalAttention } from "./attention/causal_attention.ts"
export { attentionQ8, ropeAttentionQ8 } from "./attention/q8_attention.ts"
export { qkNormRopeQ8, ropeHeadsQ8, splitHeadsQ8 } from "./attention/q8_heads.ts"
export { q8Numbers, q8RowBytes, readRowsQ8, writeRowsQ8 } from "./attention/q8_rows.ts"
export {
  qkNormRope,
  ropeAngles,
  ropeFrequencies,
  ropeHeads,
  ropeWrite,
  rotate,
  splitHeads,
} from "./attention/rope.ts"
export { mergeParts, ropeAttention, ropeAttentionParts } from "./attention/rope_attention.ts"
export { qkNormRopeTrain } from "./attention/rope_train.ts"
export { crossEntropy, crossEntropyGrad } from "./logits/crossentropy.ts"
export { sample } from "./logits/sample.ts"
export { softmax, softmaxOf } from "./logits/softmax.ts"
export { lanes, multiplyAdd, multiplyAddWhole, streamSum, waysToRead } from "./measure/ceiling.ts"
export { layerNorm } from "./norm/layernorm.ts"
export { addRmsNorm, normalize, rmsNorm } from "./norm/rmsnorm.ts"
export { meanRows, scaleColumns, scaleRows } from "./norm/rows.ts"
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
} from "./plain/elementwise.ts"
export {
  cast,
  castFinite,
  readRows,
  scatterAdd,
  take,
  takeBytes,
  writeRows,
} from "./plain/indexing.ts"
export {
  broadcast,
  copy,
  permute,
  reshape,
  restride,
  type Strides,
  slice,
  spreadInto,
} from "./plain/movement.ts"
export { advance, positionIds } from "./plain/position.ts"
export { randomNormal, randomUniform } from "./plain/random.ts"
export { argmax, cumsum, dot, max, maxRows, mean, sort, sum, sumRows } from "./plain/reduce.ts"
export { addBias, biasGelu, biasRelu } from "./product/bias.ts"
export {
  matmulAddDequantized,
  matmulDequantized,
  matmulDequantizedGradX,
} from "./product/dequantized.ts"
export { embed, embedGrad, noPadding } from "./product/embed.ts"
export { panelBlocks, rowBlockBytes } from "./product/file_blocks.ts"
export {
  matmul,
  matmulAdd,
  matmulSwiglu,
  normMatmul,
  normMatmulSwiglu,
} from "./product/matmul.ts"
export { matmulGradW, matmulGradWAdd, matmulGradX } from "./product/matmul_grad.ts"
export { pack, randomPanels, unpack } from "./product/pack.ts"
export { packedPanels, panelsOf, panelWidth, unpanel } from "./product/panels.ts"
export {
  embedQuantized,
  matmulAddQuantized,
  matmulQuantized,
  matmulSwigluQuantized,
  normMatmulQuantized,
  normMatmulSwigluQuantized,
} from "./product/quantized.ts"
export {
  blockBytes,
  blocksOf,
  dequantize,
  fileBlockBytes,
  quantize,
} from "./product/quantized_pack.ts"
export { sumSquares, sumSquaresOfBlocks } from "./product/sum_squares.ts"
export { gated, swiglu, swigluPanels, swigluPanelsGrad } from "./product/swiglu.ts"
export { sumParts } from "./shared/parts.ts"
export { accumulate, adamW, squareSums, squaresPerPart } from "./update/adamw.ts"

/** Ops that everything else means, each with its own plain loop. */
export const plainOps: readonly Op[] = [
  ...elementwiseOps,
  ...movementOps,
  ...reduceOps,
  ...indexingOps,
  ...randomOps,
  ...quantizedPackOps,
  ...fileBlockOps,
  ...q8RowOps,
  advance.op,
  positionIds.op,
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
  layerNormGrad.op,
  ...matmulOps,
  ...matmulGradOps,
  qkNormRope.op,
  ropeWrite.op,
  ropeHeads.op,
  splitHeads.op,
  qkNormRopeTrain.op,
  qkNormRopeTrainGrad.op,
  sumParts.op,
  meanRows.op,
  scaleRows.op,
  scaleColumns.op,
  attention.op,
  ropeAttentionParts.op,
  mergeParts.op,
  ropeAttention.op,
  ...q8HeadOps,
  ...q8AttentionOps,
  causalAttention.op,
  causalAttentionGrad.op,
  ...biasOps,
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
  ...dequantizedOps,
  ...sumSquaresOps,
  streamSum.op,
  multiplyAdd.op,
  multiplyAddWhole.op,
]

/** Every op. */
export const allOps: readonly Op[] = [...plainOps, ...fusedOps]
