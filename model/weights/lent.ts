// Tensors that are whole only while somebody reads them.
import { Tensor } from "../../engine/index.ts"

/** A tensor that is made for whoever asks, and given back. */
export interface Lent {
  lend(): Promise<Tensor>
  giveBack(): void
}

/** What `work` gives with a tensor, lent or there. */
export async function* lending<T>(
  given: Tensor | Lent,
  work: (tensor: Tensor) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  if (given instanceof Tensor) {
    yield* work(given)
    return
  }
  try {
    yield* work(await given.lend())
  } finally {
    given.giveBack()
  }
}
