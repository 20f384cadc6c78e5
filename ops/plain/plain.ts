// Declares the plain ops: those that everything else means, of any rank, each with its own plain
// loop. A backend that has these kernels runs every model.
import {
  type Arrays,
  type Attrs,
  type Case,
  type DType,
  dtypeCode,
  type KernelVariant,
  type Maybe,
  newCall,
  type Op,
  type Sizes,
  type Tensor,
} from "../../engine/index.ts"

export interface Inferred {
  readonly shape: readonly number[]
  readonly dtype?: DType
  readonly params: Sizes
}

export interface PlainSpec {
  readonly name: string
  readonly text: string
  readonly inputs: readonly string[]
  readonly params: string
  readonly view?: boolean
  /** Whether inputs of other dtypes than f32 are taken. */
  readonly anyDType?: boolean
  readonly infer: (inputs: readonly Tensor[], attrs: Attrs) => Inferred
  readonly compute?: (arrays: Arrays, params: Sizes) => void
  readonly vjp: (d: Tensor, inputs: readonly Tensor[], y: Tensor, attrs: Attrs) => readonly Maybe[]
  readonly cases: readonly Case[]
  readonly gpu?: readonly KernelVariant[]
  readonly rows?: (params: Sizes) => number
}

/** Elements per work item of the kernels that walk memory front to back. */
export const chunk = 1024

/** Any sizes and attributes; the caller's `infer` has put in what `compute` reads. */
export const size = (params: Sizes, name: string): number => {
  const value = params[name]
  if (value === undefined) throw new TypeError(`no parameter ${name}`)
  return value
}

/** One output `y`, whose shape follows from `infer`. */
export function plain(spec: PlainSpec): Op {
  const self: Op = {
    name: spec.name,
    text: spec.text,
    inputs: spec.inputs,
    outputs: ["y"],
    params: spec.params.split(" ").filter(Boolean),
    view: spec.view ?? false,
    alias: {},
    cases: spec.cases,
    gpu: spec.gpu ?? [],
    signature: undefined,
    record(inputs, attrs) {
      if (inputs.length !== spec.inputs.length) {
        throw new TypeError(
          `${spec.name}: takes ${spec.inputs.length} tensors, got ${inputs.length}\n  takes ${spec.text}`,
        )
      }
      inputs.forEach(({ dtype }, i) => {
        if (dtype === "f32" || spec.anyDType) return
        const name = spec.inputs[i]
        throw new TypeError(`${spec.name}: ${name} is ${dtype}, expected f32\n  takes ${spec.text}`)
      })
      const { shape, dtype = "f32", params } = spec.infer(inputs, attrs)
      const types = Object.fromEntries(
        inputs.map((x, i) => [`${spec.inputs[i]}Type`, dtypeCode(x.dtype)]),
      )
      return newCall(self, inputs, [{ shape, dtype }], attrs, {
        ...types,
        yType: dtypeCode(dtype),
        ...params,
      })
    },
    meaning: undefined,
    vjp: ({ inputs, outputs, attrs }, [d]) =>
      d ? spec.vjp(d, inputs, outputs[0] as Tensor, attrs) : inputs.map(() => undefined),
    compute: spec.compute,
    rows: spec.rows ?? ((p) => Math.ceil(size(p, "N") / chunk)),
    cost: (p) => ({ bytes: 4 * size(p, "N") * (spec.inputs.length + 1), flops: size(p, "N") }),
    sample: () => undefined,
  }
  return self
}

/** The message of a shape that a plain op refuses, in the form of a signature's. */
export function refuse(
  op: { name: string; text: string },
  reason: string,
  inputs: readonly Tensor[],
): never {
  throw new RangeError(`${op.name}: ${reason}\n  takes ${op.text}\n  got   ${inputs.join(" ")}`)
}
