// Plans of models that are not in memory: recorded for sizes alone, or with one piece of memory for
// all weights of a size. What a plan costs can be counted, and driven, without its numbers.
import type { Backend, Buffer, DType, Plan, Prepared } from "../../engine/index.ts"
import {
  type CacheDType,
  type DecoderConfig,
  inference,
  outlineWeights,
  Session,
  type WeightDType,
} from "../../model/index.ts"

interface OutlineOptions {
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly capacity: number
}

/** A session of a model whose weights are memory without values, from `memory` if not the backend. */
export function outlineSession(
  config: DecoderConfig,
  backend: Backend,
  { dtype, ...options }: OutlineOptions,
  memory = backend,
): { session: Session; close(): void } {
  const { weights, free } = outlineWeights(config, memory, dtype)
  const session = new Session({ config, weights, recorderOf: inference }, backend, options)
  const close = (): void => {
    session.close()
    free()
  }
  return { session, close }
}

/** Which kernels there are. */
interface Kernels {
  has(kernel: string): boolean
}

type Aligned = Pick<Backend, "alignment">

/** Records plans and runs nothing: memory is a size. */
export class PaperBackend implements Backend {
  readonly name: string
  readonly alignment?: number
  /** What was prepared, the newest last. */
  readonly plans: Plan[] = []
  readonly #kernels: Kernels

  constructor(name: string, kernels: Kernels, { alignment }: Aligned = { alignment: 256 }) {
    this.name = name
    if (alignment !== undefined) this.alignment = alignment
    this.#kernels = kernels
  }

  has(kernel: string): boolean {
    return this.#kernels.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32"): Buffer {
    return { bytes, dtype, freed: false, free() {} }
  }

  write(): void {}

  async read(_: Buffer, bytes = 0): Promise<ArrayBuffer> {
    return new ArrayBuffer(bytes)
  }

  prepare(plan: Plan): Prepared {
    this.plans.push(plan)
    return { run() {}, close() {} }
  }

  close(): void {}
}

/** A backend that gives the same memory to all tensors of a size: for weights that are larger than
 *  its device, and whose values do not matter. */
export function sharingMemory(backend: Backend): Backend {
  const shared = new Map<string, Buffer>()
  return {
    name: backend.name,
    ...(backend.alignment === undefined ? {} : { alignment: backend.alignment }),
    has: (kernel) => backend.has(kernel),
    alloc(bytes, dtype) {
      const key = `${dtype} ${bytes}`
      const buffer = shared.get(key) ?? backend.alloc(bytes, dtype)
      shared.set(key, buffer)
      return buffer
    },
    write: (buffer, data, offset) => backend.write(buffer, data, offset),
    read: (buffer, bytes, offset) => backend.read(buffer, bytes, offset),
    prepare: (plan) => backend.prepare(plan),
    close: () => backend.close(),
  }
}
