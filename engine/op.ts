// Declares ops and records calls. Calling an op runs nothing: it checks shapes and adds one Call to
// the graph. What the op computes is its meaning in other ops, or `compute` for the plain ones.
import { type DType, dtypeCode } from "./dtype.ts"
import type { KernelVariant } from "./kernel.ts"
import { type Operand, parseSignature, type Sizes, type Slot, unify } from "./signature.ts"
import { Tensor } from "./tensor.ts"

/** What a call is given beside its tensors: sizes, numbers, dtypes, lists of sizes, by name. */
export type Attrs = Readonly<Record<string, number | DType | readonly number[]>>
/** Values of inputs and outputs by name, flat, as plain loops take them. */
export type Arrays = Readonly<Record<string, Float64Array>>

/** Sizes and attributes of one test case; `xType` sets the dtype of input x. */
export type Case = Readonly<Record<string, number | DType | readonly number[]>>

/** What a call moves and computes: bytes read and written, floating-point operations. */
export interface Cost {
  readonly bytes: number
  readonly flops: number
}

/** One recorded use of an op. */
export interface Call {
  /** Position in recording order, which is a topological order. */
  readonly id: number
  readonly op: Op
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
  readonly attrs: Attrs
  /** What the kernel gets, by name: sizes and attributes. */
  readonly params: Readonly<Sizes>
}

/** Another meaning of an op, in ops that not every backend has kernels for. */
export interface Alternative {
  /** Ops that the backend has to have kernels for. */
  readonly ops: readonly Op[]
  /** For which sizes it serves. */
  when(params: Sizes): boolean
  /** The outputs of a call in those ops. */
  meaning(call: Call): readonly Tensor[]
}

/** An op as the engine sees it. */
export interface Op {
  readonly name: string
  /** The signature, or for a rank-free plain op a line of words. */
  readonly text: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Kernel parameters in order: capital = size (u32), lower case = f32, `xType` = dtype of x. */
  readonly params: readonly string[]
  /** A view shares its input's memory and needs no step. */
  readonly view: boolean
  /** Output name → the input whose memory it takes over, and whose dtype it has. */
  readonly alias: Readonly<Record<string, string>>
  readonly cases: readonly Case[]
  /** Other meanings, of which the first that a backend has the kernels for goes before `meaning`. */
  readonly alternatives: readonly Alternative[]
  /** Norms that one call computes; one in steps of its own is counted by its mean. */
  readonly norms: number
  /** Whether its multiply-adds are a model's work: products with weights, and attention. */
  readonly isProduct: boolean
  /** Ways to run it on a GPU, of which the first that serves is taken; none, where it has no kernel. */
  readonly gpu: readonly KernelVariant[]
  /** What its inputs have to be, and its outputs are; undefined where it takes any rank. */
  readonly signature: readonly Slot[] | undefined
  readonly results: readonly Slot[] | undefined
  /** Checks operands, and adds a call to the graph. Throws RangeError or TypeError naming the op. */
  record(inputs: readonly Tensor[], attrs: Attrs): Call
  /** Outputs of a call in other ops; undefined for plain ones. */
  meaning: ((call: Call) => readonly Tensor[]) | undefined
  /** Cotangents of the inputs, or undefined where this op leaves them to its meaning. */
  vjp: ((call: Call, cotangents: readonly Maybe[]) => readonly Maybe[] | undefined) | undefined
  /** The plain loop, which fills the outputs; undefined for ops with a meaning. */
  compute: ((arrays: Arrays, params: Sizes) => void) | undefined
  /** Work items of a call, which threads share. */
  rows(params: Sizes): number
  /** Bytes and operations of a call. */
  cost(params: Sizes): Cost
  /** Values of one input of a case that ordinary random numbers would not serve. */
  sample(name: string, params: Sizes): ((index: number) => number) | undefined
}

/** Whether a kernel gets the parameter as a u32; the others are f32. */
export const isWord = (param: string): boolean => /^[A-Z]/.test(param) || param.endsWith("Type")

/** Whether an output has memory of its own rather than that of an input. */
export const isOwn = (op: Op, output: string): boolean => op.alias[output] === undefined

/** A cotangent, or none where nothing flows. */
export type Maybe = Tensor | undefined

/** Cotangents by input name; an input left out gets none. */
export type Gradients = Readonly<Record<string, Tensor>>

// ---- Names read from the signature's type -------------------------------------------------------

/** Words of a text. */
export type Split<S extends string> = S extends `${infer Head}${" " | "\n"}${infer Tail}`
  ? [...(Head extends "" ? [] : [Head]), ...Split<Tail>]
  : S extends ""
    ? []
    : [S]
/** The name in `name:shape`. */
export type NameOf<S> = S extends `${infer N}:${string}` ? N : never
/** The names of a list of slots. */
export type NamesOf<L extends readonly string[]> = { [I in keyof L]: NameOf<L[I]> }
/** Names of the inputs in a signature. */
export type In<S extends string> = S extends `${infer I}->${string}` ? NamesOf<Split<I>> : never
/** Names of the outputs in a signature. */
export type Out<S extends string> = S extends `${string}->${infer O}` ? NamesOf<Split<O>> : never
/** An object with a value for each name. */
export type Named<L extends readonly string[], T> = { readonly [N in L[number]]: T }
/** A tuple with a value for each of a list. */
export type Each<L extends readonly string[], T> = { [I in keyof L]: T }
/** What a call returns: its one output, or its outputs by name. */
export type Result<L extends readonly string[]> = L extends readonly [string]
  ? Tensor
  : Named<L, Tensor>
type Params<P extends string> = { readonly [N in Split<P>[number]]: number }

interface OpSpec<S extends string, P extends string> {
  readonly name: string
  readonly sig: S
  readonly params: P
  readonly meaning?: (
    inputs: Named<In<S>, Tensor>,
    params: Params<P>,
    attrs: Attrs,
  ) => Result<Out<S>>
  readonly alternatives?: readonly {
    readonly ops: readonly Op[]
    readonly when: (params: Params<P>) => boolean
    readonly meaning: (
      inputs: Named<In<S>, Tensor>,
      params: Params<P>,
      attrs: Attrs,
    ) => Result<Out<S>>
  }[]
  readonly norms?: number
  readonly isProduct?: boolean
  readonly vjp?: (
    cotangents: Named<Out<S>, Maybe>,
    tensors: Named<In<S>, Tensor> & Named<Out<S>, Tensor>,
    params: Params<P> & Sizes,
  ) => Gradients | undefined
  readonly compute?: (
    arrays: Named<In<S>, Float64Array> & Named<Out<S>, Float64Array>,
    params: Params<P>,
  ) => void
  readonly alias?: Partial<Record<Out<S>[number], In<S>[number]>>
  readonly gpu?: readonly KernelVariant<In<S>[number] | Out<S>[number], Params<P>>[]
  readonly rows: (params: Params<P>) => number
  readonly cost: (params: Params<P>) => Cost
  readonly cases: readonly Case[]
  readonly sample?: (name: string, params: Params<P>) => ((index: number) => number) | undefined
  /** Conditions beyond the signature; returns what is wrong. */
  readonly check?: (params: Params<P>) => string | undefined
}

/** An op as it is called: its tensors in order, then attributes. */
export type OpFunction<S extends string> = ((
  ...operands: [...inputs: Each<In<S>, Tensor>, attrs?: Attrs]
) => Result<Out<S>>) & { readonly op: Op }

/** Declares an op with a signature. The result is called with its tensors in order, then attributes. */
export function op<const S extends string, const P extends string>(
  spec: OpSpec<S, P>,
): OpFunction<S> {
  const signature = parseSignature(spec.sig)
  const { inputs, outputs, text } = signature
  const names = { inputs: inputs.map((s) => s.name), outputs: outputs.map((s) => s.name) }
  const params = spec.params.split(" ").filter(Boolean)
  const self: Op = {
    ...names,
    name: spec.name,
    text,
    params,
    view: false,
    alias: (spec.alias ?? {}) as Record<string, string>,
    cases: spec.cases,
    alternatives: (spec.alternatives ?? []).map(({ ops, when, meaning }) => ({
      ops,
      when: (p) => when(p as Params<P>),
      meaning: (call) => meaningOf(meaning as never, call),
    })),
    norms: spec.norms ?? 0,
    isProduct: spec.isProduct ?? false,
    gpu: (spec.gpu ?? []) as readonly unknown[] as readonly KernelVariant[],
    signature: inputs,
    results: outputs,
    record(operands, attrs) {
      const numbers = Object.entries(attrs).filter(([, v]) => typeof v === "number")
      const sizes = unify(spec.name, signature, operands, Object.fromEntries(numbers) as Sizes)
      const results = outputs.map((slot) => {
        const taken = names.inputs.indexOf(self.alias[slot.name] ?? "")
        return resultOf(spec.name, slot, sizes, operands[taken]?.dtype ?? attrs.dtype)
      })
      addTypes(sizes, names.inputs, operands)
      addTypes(sizes, names.outputs, results)
      requireParams(self, sizes)
      const wrong = spec.check?.(sizes as Params<P>)
      if (wrong) throw new RangeError(`${spec.name}: ${wrong}\n  takes ${text}`)
      return newCall(self, operands, results, attrs, sizes)
    },
    meaning: spec.meaning && ((call) => meaningOf(spec.meaning as never, call)),
    vjp: spec.vjp && ((call, cotangents) => vjpOf(spec.vjp as never, call, cotangents)),
    compute: spec.compute as Op["compute"],
    rows: (p) => spec.rows(p as Params<P>),
    cost: (p) => spec.cost(p as Params<P>),
    sample: (name, p) => spec.sample?.(name, p as Params<P>),
  }
  return callable(self) as OpFunction<S>
}

/** A function that records a call of the op and returns its output, or its outputs by name. */
function callable(self: Op): ((...operands: (Tensor | Attrs)[]) => unknown) & { op: Op } {
  const call = (...operands: (Tensor | Attrs)[]) => {
    const last = operands.at(-1)
    const attrs = last instanceof Tensor || last === undefined ? {} : (operands.pop() as Attrs)
    const { outputs } = self.record(operands as Tensor[], attrs)
    return outputs.length === 1 ? outputs[0] : named(self.outputs, outputs)
  }
  return Object.assign(call, { op: self })
}

const isTooLarge = (x = 0): boolean => Number.isFinite(x) && !Number.isFinite(Math.fround(x))

let nextId = 0

export function newCall(
  self: Op,
  inputs: readonly Tensor[],
  results: readonly Operand[],
  attrs: Attrs,
  params: Sizes,
): Call {
  const over = self.params.find((name) => !isWord(name) && isTooLarge(params[name]))
  if (over !== undefined) {
    throw new RangeError(`${self.name}: ${over} is ${params[over]}, more than f32 holds`)
  }
  const outputs: Tensor[] = []
  const call: Call = { id: nextId++, op: self, inputs, outputs, attrs, params }
  results.forEach(({ shape, dtype }, output) => {
    outputs.push(new Tensor(shape, dtype, { kind: "call", call, output }))
  })
  return call
}

/** An output: of the dtype given where the signature leaves a choice. */
function resultOf(name: string, slot: Slot, sizes: Sizes, given: Attrs[string] | undefined) {
  const shape = slot.dims.map((dim) => dim.value(sizes))
  const unknown = slot.dims.flatMap((dim) => dim.symbols).filter((s) => sizes[s] === undefined)
  if (unknown.length > 0) throw new TypeError(`${name}: give ${unknown.join(", ")} as attributes`)
  const free = slot.dtypes === "dtype" || slot.dtypes.length > 1
  const dtype = free ? given : slot.dtypes[0]
  if (typeof dtype !== "string") throw new TypeError(`${name}: give dtype as an attribute`)
  return { shape, dtype }
}

function addTypes(sizes: Sizes, names: readonly string[], operands: readonly Operand[]): void {
  operands.forEach(({ dtype }, i) => {
    sizes[`${names[i]}Type`] = dtypeCode(dtype)
  })
}

function requireParams(self: Op, sizes: Sizes): void {
  const absent = self.params.filter((p) => sizes[p] === undefined)
  if (absent.length === 0) return
  throw new TypeError(`${self.name}: give ${absent.join(", ")} as attributes\n  takes ${self.text}`)
}

type AnyMeaning = (i: Record<string, Tensor>, p: Sizes, a: Attrs) => Tensor | Record<string, Tensor>
type AnyVjp = (
  d: Record<string, Maybe>,
  t: Record<string, Tensor>,
  p: Sizes,
) => Record<string, Maybe> | undefined

function meaningOf(meaning: AnyMeaning, { op, inputs, params, attrs }: Call): Tensor[] {
  const result = meaning(named(op.inputs, inputs), params, attrs)
  return result instanceof Tensor ? [result] : op.outputs.map((name) => result[name] as Tensor)
}

function vjpOf(vjp: AnyVjp, { op, inputs, outputs, params }: Call, cotangents: readonly Maybe[]) {
  const tensors = { ...named(op.inputs, inputs), ...named(op.outputs, outputs) }
  const result = vjp(named(op.outputs, cotangents), tensors, params)
  return result && op.inputs.map((name) => result[name])
}

const named = <T>(names: readonly string[], values: readonly T[]): Record<string, T> =>
  Object.fromEntries(names.map((name, i) => [name, values[i] as T]))
