// Keeps what has been allocated together, so that it can be freed together: also when the next
// allocation fails.
import {
  allocate,
  type Backend,
  bufferOf,
  type DType,
  type Shape,
  type Tensor,
} from "../../engine/index.ts"

export class Holder {
  readonly backend: Backend
  readonly #held: Tensor[] = []

  constructor(backend: Backend) {
    this.backend = backend
  }

  allocate(shape: Shape, dtype: DType = "f32", near?: Tensor): Tensor {
    const tensor = allocate(this.backend, shape, dtype, near)
    this.#held.push(tensor)
    return tensor
  }

  /** Memory of all of it. */
  get bytes(): number {
    return this.#held.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  free(): void {
    for (const tensor of this.#held.splice(0)) bufferOf(tensor).free()
  }
}
