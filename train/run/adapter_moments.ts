// The optimizer's state of an adapter in a checkpoint, and back: rows under the adapter's names.
import { readTensors, sizeOf, type Tensor } from "../../engine/index.ts"
import {
  type Adapter,
  type AdapterTensor,
  adapterInternals,
  fileRows,
  type SafetensorsFile,
  type TensorData,
  type TensorSource,
  writeNumbers,
} from "../../model/index.ts"
import { show } from "../../model/json.ts"
import type { TrainStep } from "../step/step.ts"

export const optimizerFile = "optimizer.safetensors"

/** A part of the optimizer's state: its name in files, its numbers, and the adapter's tensor that it is of. */
interface Moment {
  readonly name: string
  readonly of: AdapterTensor
  readonly target: Tensor
}

function momentsOf(adapter: Adapter, { model, parameters, settings }: TrainStep): Moment[] {
  const { listed } = adapterInternals(adapter, model.tensors)
  const byName = new Map(listed.map((each) => [each.name, each]))
  return parameters.flatMap(({ name, state }) =>
    settings.optimizer.state.map((part, i) => ({
      name: `${part}.${name}`,
      of: byName.get(name) as AdapterTensor,
      target: state[i] as Tensor,
    })),
  )
}

/** The state of every tensor that moves, in the rows of the adapter's files. */
export function adapterMoments(adapter: Adapter, step: TrainStep): Map<string, TensorData> {
  const { backend } = step.model
  const all = momentsOf(adapter, step).map(({ name, of, target }): [string, TensorData] => {
    const data = (async function* () {
      yield (await readTensors([fileRows(of, target)], backend))[0] as Float32Array
    })()
    return [name, { dtype: "F32", shape: of.shape, data }]
  })
  return new Map(all)
}

/** Fills them from a file. Throws RangeError naming what the file does not have. */
export async function restoreAdapterMoments(
  file: SafetensorsFile,
  adapter: Adapter,
  step: TrainStep,
): Promise<void> {
  for (const { name, of, target } of momentsOf(adapter, step)) {
    const values = new Float32Array(sizeOf(of.shape))
    const source = sourceOf(file, name, of.shape)
    await source.readRows(0, of.shape[0] as number, new Uint8Array(values.buffer))
    await writeNumbers({ ...of, tensor: target }, values, step.model)
  }
}

/** Rows of a tensor of a file of moments. Throws RangeError where it is not there in f32 and this shape. */
export function sourceOf(
  file: SafetensorsFile,
  name: string,
  shape: readonly number[],
): TensorSource {
  const entry = file.tensors.get(name)
  if (entry?.dtype !== "F32" || entry.shape.join() !== shape.join()) {
    const found = entry ? `${entry.dtype} ${show(entry.shape)}` : "nothing"
    throw new RangeError(
      `${file.path}: ${show(name)} is ${found}, expected F32 ${show(shape)}. ` +
        "Resume with the model and dtype that wrote it",
    )
  }
  const rowBytes = 4 * shape.slice(1).reduce((a, b) => a * b, 1)
  return {
    dtype: "f32",
    shape,
    file: file.path,
    readRows: (start, count, target) =>
      file.read(name, start * rowBytes, target.subarray(0, count * rowBytes)),
  }
}
