// Folders of MLX: mlx-lm's, which are Hugging Face's with `quantization` in config.json, and those of
// CoreNet's port, whose config.json names a released size and little else. A matrix is quantized where it
// has scales: ŵ = number · scale + bias, scale and bias shared by a group of a row.
import { fieldsOfSize } from "../architectures/openelm/config.ts"
import { isObject, show } from "../json.ts"
import { type CheckpointFormat, checkRows, type Sourced, type StoredTensor } from "./checkpoint.ts"
import type { PlainDType } from "./header.ts"
import { plainName } from "./names.ts"
import { f32Rows, fillF32 } from "./numbers.ts"
import { openFolder } from "./safetensors_folder.ts"

export const mlxFolder: CheckpointFormat = {
  name: "a folder of MLX",
  files: [],
  async open(candidate) {
    const config = await candidate.json("config.json")
    if (!config || !isObject(config.value)) return undefined
    const { quantization, ...fields } = config.value
    const isQuantized = isObject(quantization) && Object.hasOwn(quantization, "group_size")
    const { model_name: name, num_transformer_layers: layers } = fields
    const size = layers === undefined ? fieldsOfSize(name) : undefined
    if (!isQuantized && !size) return undefined
    const own = isQuantized ? ownFields(fields) : fields
    const value = { ...size, ...own, ...(!isQuantized && { quantization }) }
    const { source } = config
    return openFolder(candidate, { value, source }, undefined, (tensors) =>
      isQuantized ? widened(tensors, { value: quantization, source }) : tensors,
    )
  },
}

/** Fields without the second `quantization`; and where heads are listed, MLX goes by the list. */
function ownFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { quantization_config, qkv_multipliers, ...rest } = fields
  return Array.isArray(rest.num_query_heads) ? rest : { ...rest, qkv_multipliers }
}

type Tensors = ReadonlyMap<string, StoredTensor>

/** Tensors with each quantized matrix as one. */
function widened(tensors: Tensors, quantization: Sourced): Tensors {
  const found = new Map(tensors)
  for (const name of tensors.keys()) {
    if (!name.endsWith(".scales")) continue
    const path = name.slice(0, -".scales".length)
    const [weight, scales, biases] = ["weight", "scales", "biases"].map((part) => {
      const tensor = tensors.get(`${path}.${part}`)
      if (!tensor)
        throw new RangeError(`${tensors.get(name)?.file} misses ${show(`${path}.${part}`)}`)
      found.delete(`${path}.${part}`)
      return tensor
    }) as [StoredTensor, StoredTensor, StoredTensor]
    found.set(`${path}.weight`, matrixOf(weight, scales, biases, groupingOf(quantization, path)))
  }
  return found
}

/** How the numbers of a matrix are grouped. */
interface Grouping {
  readonly size: number
  readonly bits: number
}

/** Bits of which a byte holds whole numbers. */
const knownBits = [2, 4, 8]

/** What config.json says of a matrix: of all, or by the name of its layer. */
function groupingOf({ value, source }: Sourced, path: string): Grouping {
  const all = value as Readonly<Record<string, unknown>>
  const own = Object.entries(all).find(
    ([key, each]) => isObject(each) && plainName(key) === plainName(path),
  )?.[1]
  const fields = { ...all, ...(isObject(own) ? own : {}) }
  const { group_size: size, bits, mode = "affine" } = fields
  if (mode !== "affine") {
    throw new RangeError(`${source}: quantization has the mode ${show(mode)}, expected "affine"`)
  }
  if (!knownBits.includes(bits as number)) {
    throw new RangeError(
      `${source}: quantization has ${show(bits)} bits, expected ${knownBits.join(", ")}`,
    )
  }
  if (Number.isInteger(size) && (size as number) > 0 && (size as number) % 8 === 0) {
    return { size: size as number, bits: bits as number }
  }
  throw new RangeError(`${source}: quantization has a group_size of ${show(size)}, such as 64`)
}

function matrixOf(
  weight: StoredTensor,
  scales: StoredTensor,
  biases: StoredTensor,
  { size, bits }: Grouping,
): StoredTensor {
  const [rows = 0, words = 0] = weight.shape
  const columns = (words * 32) / bits
  const groups = columns / size
  const at = `${weight.file}: ${show(weight.name)}`
  for (const { name, shape, form, dtype } of [scales, biases]) {
    if (shape.join() !== `${rows},${groups}` || form === undefined || weight.dtype !== "U32") {
      throw new RangeError(
        `${at} is ${weight.dtype} ${show(weight.shape)} and ${show(name)} ${dtype} ${show(shape)}, ` +
          `which is no matrix of ${bits} bits in groups of ${size}`,
      )
    }
  }
  const read: StoredTensor["read"] = async (start, count, target) => {
    checkRows(at, start, count, rows, target.length, 4 * columns)
    const packed = new Uint8Array(4 * count * words)
    await weight.read(start, count, packed)
    const [s, b] = await Promise.all(
      [scales, biases].map(async (tensor) => {
        const numbers = new Uint8Array(4 * count * groups)
        await f32Rows(tensor, tensor.form as PlainDType)(start, count, numbers)
        return new Float32Array(numbers.buffer)
      }),
    )
    fillF32(target, (out) =>
      expand(packed, s as Float32Array, b as Float32Array, { size, bits }, out),
    )
  }
  const { name, file, bytes } = weight
  return {
    ...{ name, file, bytes: bytes + scales.bytes + biases.bytes },
    dtype: `${bits} bits in groups of ${size}`,
    shape: [rows, columns],
    form: undefined,
    asF32: read,
    read,
  }
}

/** Numbers of whole groups: the first of a byte in its lowest bits. */
function expand(
  packed: Uint8Array,
  scales: Float32Array,
  biases: Float32Array,
  { size, bits }: Grouping,
  out: Float32Array,
): void {
  const each = 8 / bits
  const mask = 2 ** bits - 1
  for (let group = 0, i = 0, at = 0; group < scales.length; group++) {
    const [scale, bias] = [scales[group] as number, biases[group] as number]
    for (const end = i + size; i < end; at++) {
      let byte = packed[at] as number
      for (const next = i + each; i < next; i++) {
        out[i] = (byte & mask) * scale + bias
        byte >>= bits
      }
    }
  }
}
