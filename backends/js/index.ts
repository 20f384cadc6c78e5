// The js backend: plain ops only, one plain loop each, in float64. The readable meaning of every op
// and the oracle of the tests; not fast.
import {
  type Backend,
  Binding,
  type Buffer,
  checkFreed,
  type DType,
  decode,
  encode,
  inStages,
  itemBytes,
  Lifetime,
  type LivingBuffer,
  type Op,
  type Place,
  type Plan,
  type Prepared,
  type Step,
  type Storage,
  type TypedArray,
  viewOf,
} from "../../engine/index.ts"
import { plainOps } from "../../ops/index.ts"

/** Values in float64 whatever the dtype; `read` and `write` convert. */
export class JsBuffer implements LivingBuffer {
  readonly bytes: number
  readonly dtype: DType
  readonly life = new Lifetime()
  readonly owner: ReadonlySet<Buffer>
  readonly #live: Set<Buffer>
  values: Float64Array

  constructor(bytes: number, dtype: DType, live: Set<Buffer>) {
    this.bytes = bytes
    this.dtype = dtype
    this.owner = live
    this.#live = live
    live.add(this)
    this.values = new Float64Array(bytes / itemBytes(dtype))
  }

  get freed(): boolean {
    return this.life.ended
  }

  free(): void {
    if (!this.life.end()) return
    this.#live.delete(this)
    this.values = new Float64Array(0)
  }
}

export class JsBackend implements Backend, AsyncDisposable {
  readonly name = "js"
  readonly build = "float64, plain loops"
  readonly live = new Set<Buffer>()
  #closed = false
  readonly #kernels = new Map<string, Op>(plainOps.map((op) => [op.name, op]))

  has(kernel: string): boolean {
    return this.#kernels.has(kernel)
  }

  alloc(bytes: number, dtype: DType = "f32"): Buffer {
    this.#checkOpen()
    return new JsBuffer(bytes, dtype, this.live)
  }

  write(buffer: Buffer, data: ArrayBufferView, offset = 0): void {
    const { values, dtype, bytes } = this.#own(buffer)
    const at = offset / itemBytes(dtype)
    const count = data instanceof Float64Array ? data.length * itemBytes(dtype) : data.byteLength
    if (offset < 0 || offset + count > bytes) {
      throw new RangeError(`write: ${count} bytes at ${offset} do not fit ${bytes}`)
    }
    values.set(data instanceof Float64Array ? data : numbersIn(data, dtype), at)
  }

  async read(buffer: Buffer, bytes = buffer.bytes, offset = 0): Promise<ArrayBuffer> {
    const own = this.#own(buffer)
    const { values, dtype } = own
    if (offset < 0 || offset + bytes > own.bytes) {
      throw new RangeError(`read: ${bytes} bytes at ${offset} lie outside ${own.bytes}`)
    }
    const item = itemBytes(dtype)
    const raw = encode(dtype, values.subarray(offset / item, (offset + bytes) / item))
    return raw.buffer as ArrayBuffer
  }

  prepare(plan: Plan): Prepared {
    this.#checkOpen()
    const arena = new Map<Storage, Float64Array>()
    const binding = new Binding(this.name, plan, (buffer) => this.#own(buffer))
    const all = plan.steps.map((step) => prepareStep(step, arena))
    const stages = inStages(all, plan)
    binding.hold()
    return {
      run: (stage) => {
        this.#checkOpen()
        binding.check()
        const steps = stage === undefined ? all : (stages[stage] as typeof all)
        for (const step of steps) step()
      },
      close() {
        binding.close()
        arena.clear()
      },
    }
  }

  close(): void {
    this.#closed = true
    for (const buffer of this.live) buffer.free()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #own(buffer: Buffer): JsBuffer {
    this.#checkOpen()
    if (!(buffer instanceof JsBuffer) || buffer.owner !== this.live) {
      throw new TypeError("js: this buffer belongs to another backend")
    }
    checkFreed(this.name, buffer)
    return buffer
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("js: the backend is closed. Open another one")
  }
}

function prepareStep({ op, call, inputs, outputs }: Step, arena: Map<Storage, Float64Array>) {
  const arrays: Record<string, Float64Array> = {}
  inputs.forEach((place, i) => {
    arrays[op.inputs[i] as string] = arrayOf(place, arena)
  })
  outputs.forEach((place, i) => {
    arrays[op.outputs[i] as string] = arrayOf(place, arena)
  })
  const { compute } = op
  if (!compute) throw new Error(`js: there is no kernel ${op.name}`)
  return () => compute(arrays, call.params)
}

function arrayOf(
  { tensor, storage, offset }: Place,
  arena: Map<Storage, Float64Array>,
): Float64Array {
  if (storage.buffer) {
    const start = offset / itemBytes(tensor.dtype)
    const { values } = storage.buffer as JsBuffer
    return values.subarray(start, start + tensor.size)
  }
  let array = arena.get(storage)
  if (!array) {
    const data = storage.data
    array = data ? numbersOf(data, tensor.dtype) : new Float64Array(tensor.size)
    arena.set(storage, array)
  }
  return array.subarray(0, tensor.size)
}

/** Numbers of raw elements. */
function numbersIn(raw: ArrayBufferView, dtype: DType): Float64Array {
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength) as ArrayBuffer
  return decode(dtype, viewOf(dtype, bytes))
}

const numbersOf = (data: TypedArray, dtype: DType): Float64Array =>
  data instanceof Float64Array ? data.slice() : decode(dtype, data)
