// What a step trains: the weights of a model, or of an adapter beside them, which then stay as they are.
import type { Tensor } from "../../engine/index.ts"
import {
  type Adapter,
  type AdapterTensor,
  adapterInternals,
  type Decoder,
  fileRows,
  internals,
  type LanguageModel,
  type Spec,
  specsOf,
} from "../../model/index.ts"
import { unpack } from "../../ops/index.ts"

export interface Trained {
  readonly decoder: Decoder
  /** By name. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** Those that hold a number for each output, which no weight decay touches. */
  isVector(tensor: Tensor): boolean
  /** Panels like those of a tensor, such as its gradient, as the rows that files have. */
  fileRows(name: string, panels: Tensor): Tensor
  /** What `work` gives while nothing moves them. */
  reading<T>(work: () => Promise<T>): Promise<T>
  /** The same for work that moves them, which nothing else uses meanwhile. */
  training<T>(work: () => Promise<T>): Promise<T>
}

export function trainedOf(model: LanguageModel, adapter: Adapter | undefined): Trained {
  if (!adapter) {
    const { decoder, reading, training } = internals(model)
    // Vectors, the norms' weights; panels are matrices.
    const isVector = ({ shape }: Tensor) => shape.length === 1
    const specs = new Map(specsOf(model.config).map((spec) => [spec.name, spec]))
    const fileRows = (name: string, panels: Tensor): Tensor => {
      const { shape, halves: Halves, matrix } = specs.get(name) as Spec
      const [N, K] = shape as [number, number]
      return matrix ? unpack(panels, { N, K, Halves, dtype: "f32" }) : panels
    }
    return { decoder, tensors: model.tensors, isVector, fileRows, reading, training }
  }
  const { decoder, listed, reading, training, moved } = adapterInternals(adapter, model.tensors)
  const vectors = new Set(listed.flatMap((x) => (x.role === "magnitude" ? x.tensor : [])))
  const byName = new Map(listed.map((each) => [each.name, each]))
  return {
    decoder,
    tensors: adapter.tensors,
    fileRows: (name, panels) => fileRows(byName.get(name) as AdapterTensor, panels),
    isVector: (tensor) => vectors.has(tensor),
    reading,
    training: (work) => training(() => work().finally(moved)),
  }
}
