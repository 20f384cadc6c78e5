// The compute pipelines of a device: each is compiled once, when a plan first needs it, and all of a
// plan at the same time. Errors of a shader name the file, the line and the generated source.
import type { Op, Step } from "../../engine/index.ts"
import { type ChosenKernel, choose } from "./choose.ts"
import type { Feature } from "./options.ts"
import { type Argument, preludeOf } from "./prelude.ts"
import { throughFunctions } from "./windows.ts"

export interface Pipeline {
  readonly entry: string
  readonly layout: GPUBindGroupLayout
  /** Set when `ready` has resolved. */
  pipeline: GPUComputePipeline | undefined
  readonly ready: Promise<void>
}

export class Pipelines {
  readonly #device: GPUDevice
  readonly #features: ReadonlySet<Feature>
  readonly #all = new Map<string, Pipeline>()
  readonly #layouts = new Map<string, GPUBindGroupLayout>()

  readonly #onCompile: ((done: number, all: number) => void) | undefined
  #done = 0

  constructor(
    device: GPUDevice,
    features: ReadonlySet<Feature>,
    onCompile?: (done: number, all: number) => void,
  ) {
    this.#device = device
    this.#features = features
    this.#onCompile = onCompile
  }

  /** Pipelines compiled so far. */
  get count(): number {
    return this.#all.size
  }

  /** The kernel for a step with the features in use. */
  kernelOf(step: Step): ChosenKernel {
    return choose(step, this.#features, this.#device.limits.maxComputeWorkgroupStorageSize)
  }

  /** The pipeline of an op for arguments of these dtypes, written or not, shared or not. */
  of(op: Op, kernel: ChosenKernel, args: readonly Argument[]): Pipeline {
    const key = [
      kernel.entry,
      op.name,
      ...Object.values(kernel.values),
      `${kernel.fours}`,
      ...args.map(
        ({ dtype, writable, same = "", windows }) =>
          `${dtype}${writable ? "!" : ""}${same}:${windows?.count ?? 1}`,
      ),
    ]
    return this.#get(key.join(" "), args, kernel.entry, () => {
      const prelude = preludeOf(op, args, kernel)
      const code = args
        .filter(({ windows }) => windows)
        .reduce((text, a) => throughFunctions(text, a.name, a.same ?? a.name), kernel.code)
      return `${prelude}${withShared(code, args)}\n`
    })
  }

  /** The pipeline of a shader of the backend's own. */
  own(name: string, args: readonly Argument[], code: string): Pipeline {
    return this.#get(name, args, name, () => code)
  }

  #get(key: string, args: readonly Argument[], entry: string, code: () => string): Pipeline {
    const known = this.#all.get(key)
    if (known) return known
    const layout = this.#layoutOf(
      args
        .filter((a) => a.same === undefined)
        .flatMap(({ writable, windows }) => Array<boolean>(windows?.count ?? 1).fill(writable)),
    )
    const made: Pipeline = { entry, layout, pipeline: undefined, ready: Promise.resolve() }
    const ready = this.#compile(code(), entry, layout).then((pipeline) => {
      made.pipeline = pipeline
      this.#onCompile?.(++this.#done, this.#all.size)
    })
    // Whoever runs a plan hears of it; nobody else has to listen.
    ready.catch(() => undefined)
    const result = Object.assign(made, { ready })
    this.#all.set(key, result)
    return result
  }

  #layoutOf(writable: readonly boolean[]): GPUBindGroupLayout {
    const key = writable.map(Number).join("")
    const known = this.#layouts.get(key)
    if (known) return known
    const compute = 4
    const storage = writable.map(
      (w, binding): GPUBindGroupLayoutEntry => ({
        binding,
        visibility: compute,
        buffer: { type: w ? "storage" : "read-only-storage" },
      }),
    )
    const parameters = { binding: writable.length, visibility: compute, buffer: {} }
    const layout = this.#device.createBindGroupLayout({ entries: [...storage, parameters] })
    this.#layouts.set(key, layout)
    return layout
  }

  async #compile(
    code: string,
    entryPoint: string,
    layout: GPUBindGroupLayout,
  ): Promise<GPUComputePipeline> {
    const device = this.#device
    device.pushErrorScope("validation")
    const module = device.createShaderModule({ code, label: entryPoint })
    const scope = device.popErrorScope()
    const { messages } = await module.getCompilationInfo()
    await scope
    const wrong = messages.filter(({ type }) => type === "error")
    if (wrong.length > 0) throw new Error(report(entryPoint, code, wrong))
    try {
      return await device.createComputePipelineAsync({
        label: entryPoint,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint },
      })
    } catch (cause) {
      throw new Error(`webgpu: the kernel ${entryPoint} was refused: ${String(cause)}\n${code}`, {
        cause,
      })
    }
  }
}

/** The code with the names of arguments replaced by those whose binding they share. */
function withShared(code: string, args: readonly Argument[]): string {
  let text = code
  for (const { name, same } of args) {
    if (same !== undefined) text = text.replace(new RegExp(`(?<![\\w.])${name}\\b`, "g"), same)
  }
  return text
}

/** What is wrong where, in the .wgsl file it came from, and the generated text with line numbers. */
function report(name: string, code: string, wrong: readonly GPUCompilationMessage[]): string {
  const lines = code.split("\n")
  const places = wrong.map(({ lineNum, linePos, message }) => {
    const above = lines.slice(0, lineNum)
    const start = above.findLastIndex((line) => line.startsWith("//# "))
    const [file, first] = (lines[start] ?? "//# the prelude:1").slice(4).split(":")
    const line = Number(first) + lineNum - start - 2
    return `  ${file}:${line}:${linePos}: ${message}`
  })
  const numbered = lines.map((line, i) => `${String(i + 1).padStart(4)}  ${line}`)
  return [`webgpu: the kernel ${name} does not compile`, ...places, ...numbered].join("\n")
}
