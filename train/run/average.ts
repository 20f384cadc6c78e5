// The average of checkpoints, as the release made its models: tensor by tensor, summed in float64,
// in the dtype of the first.
import { type DType, decode, encode, viewOf } from "../../engine/index.ts"
import {
  type Checkpoint,
  configIn,
  fileDTypes,
  openCheckpoint,
  type SavedDType,
  type StoredTensor,
  saveModel,
  type TensorData,
} from "../../model/index.ts"
import { show } from "../../model/json.ts"

/** Bytes of each checkpoint that are averaged at a time. */
const pieceBytes = 16 << 20

/**
 * Writes the average of models into a new folder, with the first's config.json and its tokenizer. Throws RangeError naming the tensor that differs in shape or dtype, or is missing.
 */
export async function averageModels(folders: readonly string[], out: string): Promise<void> {
  if (folders.length < 2) throw new RangeError("average: give two or more model folders")
  const checkpoints: Checkpoint[] = []
  try {
    for (const folder of folders) checkpoints.push(await openCheckpoint(folder))
    const first = checkpoints[0] as Checkpoint
    const tokenizer = await first.tokenizer()
    await saveModel(out, await configIn(first), averaged(checkpoints), tokenizer)
  } finally {
    for (const checkpoint of checkpoints) await checkpoint.close()
  }
}

type NamedTensors = Pick<Checkpoint, "name" | "tensors">

/** Tensors for `writeSafetensors`, averaged as they are asked for. */
export function averaged(checkpoints: readonly NamedTensors[]): Map<string, TensorData> {
  const [first, ...others] = checkpoints as [NamedTensors, ...NamedTensors[]]
  for (const other of others) checkAlike(first, other)
  return new Map(
    [...first.tensors].map(([name, { file, dtype, shape, form }]): [string, TensorData] => {
      if (form === undefined || !Object.hasOwn(fileDTypes, form)) {
        throw new RangeError(`${file}: ${show(name)} is ${dtype}, expected F32, F16 or BF16`)
      }
      const kept = form as SavedDType
      const tensors = checkpoints.map(({ tensors }) => tensors.get(name) as StoredTensor)
      return [name, { dtype: fileDTypes[kept], shape, data: averageOf(tensors, kept) }]
    }),
  )
}

async function* averageOf(
  tensors: readonly StoredTensor[],
  dtype: DType,
): AsyncGenerator<ArrayBufferView> {
  const { shape, bytes } = tensors[0] as StoredTensor
  const [rows = 1] = shape
  const rowBytes = bytes / rows
  const most = Math.max(1, Math.floor(pieceBytes / rowBytes))
  for (let start = 0; start < rows; start += most) {
    const count = Math.min(most, rows - start)
    const raw = new Uint8Array(count * rowBytes)
    let sum: Float64Array | undefined
    for (const tensor of tensors) {
      await tensor.read(start, count, raw)
      const values = decode(dtype, viewOf(dtype, raw.buffer))
      if (sum)
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (values[i] as number)
      else sum = Float64Array.from(values)
    }
    const all = sum as Float64Array
    yield encode(
      dtype,
      all.map((x) => x / tensors.length),
    )
  }
}

function checkAlike(first: NamedTensors, other: NamedTensors): void {
  for (const [name, { dtype, shape }] of first.tensors) {
    const found = other.tensors.get(name)
    if (found?.dtype === dtype && found.shape.join() === shape.join()) continue
    const is = found ? `${found.dtype} ${show(found.shape)}` : "missing"
    throw new RangeError(
      `${other.name}: ${show(name)} is ${is}, ${first.name} has ${dtype} ${show(shape)}`,
    )
  }
  const more = [...other.tensors.keys()].find((name) => !first.tensors.has(name))
  if (more === undefined) return
  throw new RangeError(`${other.name} has ${show(more)}, which ${first.name} has not`)
}
