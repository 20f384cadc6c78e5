// The optimizer's state of an adapter in a checkpoint, and back: rows under the adapter's names.
import { readTensors, runOnce, sizeOf, type Tensor } from "../../engine/index.ts"
import {
  type Adapter,
  type AdapterTensor,
  adapterInternals,
  fileRows,
  Holder,
  lending,
  type SafetensorsFile,
  type TensorData,
  type TensorSource,
  writeNumbers,
} from "../../model/index.ts"
import { show } from "../../model/json.ts"
import type { TrainStep } from "../step/step.ts"
import { type Parameter, sliced } from "../step/update.ts"
import { wholeOf } from "./whole.ts"

export const optimizerFile = "optimizer.safetensors"

/** A part of the optimizer's state: its name in files, this rank's numbers, and the adapter's tensor that it is of. */
interface Moment {
  readonly name: string
  readonly of: AdapterTensor
  readonly parameter: Parameter
  readonly own: Tensor
}

function momentsOf(adapter: Adapter, { model, parameters, settings }: TrainStep): Moment[] {
  const { listed } = adapterInternals(adapter, model.tensors)
  const byName = new Map(listed.map((each) => [each.name, each]))
  return parameters.flatMap((parameter) =>
    settings.optimizer.state.map((part, i) => ({
      name: `${part}.${parameter.name}`,
      of: byName.get(parameter.name) as AdapterTensor,
      parameter,
      own: parameter.state[i] as Tensor,
    })),
  )
}

/** The state of every tensor that moves, in the rows of the adapter's files. */
export function adapterMoments(adapter: Adapter, step: TrainStep): Map<string, TensorData> {
  const { backend } = step.model
  const all = momentsOf(adapter, step).map((moment): [string, TensorData] => {
    const { name, of, parameter, own } = moment
    const data = lending(wholeOf(step, parameter, own), async function* (whole) {
      yield (await readTensors([fileRows(of, whole)], backend))[0] as Float32Array
    })
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
  const { backend } = step.model
  for (const { name, of, parameter, own } of momentsOf(adapter, step)) {
    const values = new Float32Array(sizeOf(of.shape))
    const source = sourceOf(file, name, of.shape)
    await source.readRows(0, of.shape[0] as number, new Uint8Array(values.buffer))
    const { owned, weight } = parameter
    // What is read of a file is a whole tensor.
    const held = new Holder(backend)
    const tensor = owned ? held.allocate(weight.shape, "f32", weight) : own
    try {
      await writeNumbers({ ...of, tensor }, values, { backend })
      if (owned && owned.size > 0) await runOnce(backend, [[own, sliced(tensor, owned)]])
    } finally {
      held.free()
    }
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
