// The average of checkpoints, as the release made its models: tensor by tensor, summed in float64,
// in the dtype of the first.
import { type DType, decode, encode, viewOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import {
  openSafetensors,
  readConfig,
  type SafetensorsFile,
  saveModel,
  type TensorData,
  type Tokenizer,
} from "../../model/index.ts"
import { show } from "../../model/json.ts"

/** Numbers that are averaged at a time. */
const numbersAtATime = 1 << 22

const dtypeOf: Readonly<Record<string, DType>> = { F32: "f32", F16: "f16", BF16: "bf16" }

/**
 * Writes the average of model folders into a new one, with the first's config.json and the given
 * tokenizer. Throws RangeError naming the tensor that differs in shape or dtype, or is missing.
 */
export async function averageModels(
  folders: readonly string[],
  out: string,
  tokenizer?: Tokenizer,
): Promise<void> {
  const { join } = fromNode("node:path")
  if (folders.length < 2) throw new RangeError("average: give two or more model folders")
  const files: SafetensorsFile[] = []
  try {
    for (const folder of folders) {
      files.push(await openSafetensors(join(folder, "model.safetensors")))
    }
    const { config } = await readConfig(folders[0] as string)
    await saveModel(out, config, averaged(files), tokenizer)
  } finally {
    for (const file of files) file.close()
  }
}

/** Tensors for `writeSafetensors`, averaged as they are asked for. */
export function averaged(files: readonly SafetensorsFile[]): Map<string, TensorData> {
  const [first, ...others] = files as [SafetensorsFile, ...SafetensorsFile[]]
  for (const other of others) checkAlike(first, other)
  return new Map(
    [...first.tensors].map(([name, { dtype, shape }]): [string, TensorData] => {
      const kept = dtypeOf[dtype]
      if (kept === undefined) {
        throw new RangeError(`${first.path}: ${show(name)} is ${dtype}, expected F32, F16 or BF16`)
      }
      return [name, { dtype, shape, data: averageOf(name, files, kept) }]
    }),
  )
}

function* averageOf(
  name: string,
  files: readonly SafetensorsFile[],
  dtype: DType,
): Generator<ArrayBufferView> {
  const { bytes } = (files[0] as SafetensorsFile).tensors.get(name) as { bytes: number }
  const most = numbersAtATime * (dtype === "f32" ? 4 : 2)
  for (let at = 0; at < bytes; at += most) {
    const raw = new Uint8Array(Math.min(most, bytes - at))
    let sum: Float64Array | undefined
    for (const file of files) {
      file.read(name, at, raw)
      const values = decode(dtype, viewOf(dtype, raw.buffer))
      if (sum)
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (values[i] as number)
      else sum = Float64Array.from(values)
    }
    const all = sum as Float64Array
    yield encode(
      dtype,
      all.map((x) => x / files.length),
    )
  }
}

function checkAlike(first: SafetensorsFile, other: SafetensorsFile): void {
  for (const [name, { dtype, shape }] of first.tensors) {
    const found = other.tensors.get(name)
    if (found?.dtype === dtype && found.shape.join() === shape.join()) continue
    const is = found ? `${found.dtype} ${show(found.shape)}` : "missing"
    throw new RangeError(
      `${other.path}: ${show(name)} is ${is}, ${first.path} has ${dtype} ${show(shape)}`,
    )
  }
  const more = [...other.tensors.keys()].find((name) => !first.tensors.has(name))
  if (more === undefined) return
  throw new RangeError(`${other.path} has ${show(more)}, which ${first.path} has not`)
}
