// A model on a backend: loading, logits, generation.
import { type Backend, checkObject, kindOf, type Plan, type Tensor } from "../engine/index.ts"
import { openModelFolder } from "./checkpoints/folder.ts"
import { isQuantized } from "./checkpoints/format.ts"
import { rowTensors, saveModel } from "./checkpoints/saving.ts"
import {
  type Checked,
  checkModelOptions,
  checkNorms,
  dtypeFor,
  explained,
  fillingOf,
} from "./checks.ts"
import { configOf, type ModelConfig, parameterCount, type SizeName } from "./config.ts"
import { pathOf, pathToWrite } from "./files/files.ts"
import type { Trace, Weights } from "./forward.ts"
import { evaluate } from "./generate/evaluate.ts"
import { checkOptions, type GenerateOptions, type Token } from "./generate/generate.ts"
import { SessionPool } from "./generate/pool.ts"
import { type CacheDType, Session } from "./generate/session.ts"
import { type Source, stream } from "./generate/stream.ts"
import { continuation, promptIds, tokenizerFor } from "./generate/text.ts"
import type { NormKind, Norms } from "./norms.ts"
import type { LoadOptions, ModelOptions, RandomOptions, SaveOptions } from "./options.ts"
import { checkConfig } from "./sizes.ts"
import type { Tokenizer } from "./tokenizer/index.ts"
import { Usage } from "./usage.ts"
import { type WeightDType, weightDTypes } from "./weights/layout.ts"
import { type Check, lostDevices, Residence } from "./weights/restore.ts"
import { type LoadedWeights, loadWeights, randomWeights } from "./weights/weights.ts"

export class OpenELM {
  readonly config: ModelConfig
  readonly backend: Backend
  readonly dtype: WeightDType
  readonly capacity: number
  readonly cache: CacheDType
  /** Bytes of the weights on the backend. */
  readonly weightBytes: number
  /** Turns text into ids and back, where the model has one. */
  readonly tokenizer: Tokenizer | undefined
  readonly #loaded: LoadedWeights
  readonly #norms: Norms
  readonly #variants: OpenELM[] = []
  readonly #source: Source

  private constructor(
    config: ModelConfig,
    options: Checked,
    loaded: LoadedWeights,
    tokenizer: Tokenizer | undefined,
    residence: Residence,
    parent?: Usage,
  ) {
    this.#source = {
      usage: new Usage("this model is closed. Load it again", parent),
      residence,
      sessions: new SessionPool(() => this.#openSession()),
    }
    this.config = config
    this.backend = options.backend
    this.dtype = options.dtype
    this.capacity = options.capacity
    this.cache = options.cache
    this.weightBytes = loaded.bytes
    this.#loaded = loaded
    this.#norms = options.norms
    this.tokenizer = tokenizer
  }

  /**
   * Reads a Hugging Face style folder by its path or its http or https URL: config.json and
   * model.safetensors, or shards with an index. Throws Error for files that are not there,
   * SyntaxError for those that do not parse, RangeError for sizes and values out of range.
   */
  static async load(folder: string | URL, options: LoadOptions): Promise<OpenELM> {
    const path = pathOf(folder, "load: the folder")
    checkObject("load: options", options)
    const opened = await openModelFolder(path, options)
    try {
      const dtype = dtypeFor(opened, options.dtype) ?? "f32"
      const { config } = opened
      const tokenizer = await tokenizerFor(options.tokenizer, config, opened.path, options)
      return await OpenELM.#build(config, { ...options, dtype }, tokenizer, (checked) =>
        loadWeights(opened, checked.backend, checked.dtype, fillingOf(options)),
      )
    } finally {
      await opened.close()
    }
  }

  /** A model of a released size ("270M", "450M", "1.1B", "3B") or any config, with seeded weights. */
  static async random(size: SizeName | ModelConfig, options: RandomOptions): Promise<OpenELM> {
    checkObject("random: options", options)
    if (typeof size !== "string") checkConfig("random: the size, where it is no name,", size)
    const config = typeof size === "string" ? configOf(size) : size
    const { seed = 0 } = options
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new RangeError(`seed must be a whole number from 0 to ${0xffffffff}, got ${seed}`)
    }
    const tokenizer = await tokenizerFor(options.tokenizer, config)
    return OpenELM.#build(config, options, tokenizer, ({ backend, dtype }) =>
      randomWeights(config, backend, dtype, seed, fillingOf(options)),
    )
  }

  static async #build(
    config: ModelConfig,
    options: ModelOptions,
    tokenizer: Tokenizer | undefined,
    load: (checked: Checked) => Promise<LoadedWeights>,
  ): Promise<OpenELM> {
    const checked = checkModelOptions(config, options)
    try {
      const lost = await lostDevices(checked.backend)
      const loaded = await load(checked)
      const residence = new Residence(checked.backend, loaded.refill, lost)
      return new OpenELM(config, checked, loaded, tokenizer, residence)
    } catch (error) {
      throw explained(error, config, checked.dtype)
    }
  }

  /** The same weights with the norms run another way; freed with this model. */
  withNorms(norms: NormKind, headNorms = true): OpenELM {
    this.#source.usage.check()
    const { backend, dtype, capacity, cache, config, tokenizer } = this
    const checked = checkNorms(norms, config, headNorms, backend)
    const options = { backend, dtype, capacity, cache, norms: checked }
    const { residence, usage } = this.#source
    const loaded = { ...this.#loaded, free() {} }
    const variant = new OpenELM(config, options, loaded, tokenizer, residence, usage)
    this.#variants.push(variant)
    return variant
  }

  /** The weights as they lie on the backend. */
  get weights(): Weights {
    return this.#loaded.weights
  }

  /** Every weight by its name in the file format, in the layout of the backend. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return this.#loaded.tensors
  }

  get parameters(): number {
    return parameterCount(this.config)
  }

  /** The plan of one decode step, for printing and counting. */
  get decodePlan(): Plan {
    const { usage, sessions } = this.#source
    usage.check()
    const session = sessions.acquire()
    sessions.release(session)
    return session.decodePlan
  }

  /**
   * Logits of every position, (B, T, V) in row-major order, in f32.
   * Throws RangeError for ids outside the vocabulary, rows of unequal length, or T beyond the context.
   */
  async logits(ids: readonly (readonly number[])[]): Promise<Float32Array> {
    const [values] = await this.#evaluate(ids)
    return values as Float32Array
  }

  /** Logits, and every intermediate value of the forward pass by name (model/forward.ts). */
  async activations(ids: readonly (readonly number[])[]): Promise<Map<string, Float32Array>> {
    const names: string[] = []
    const values: Tensor[] = []
    const trace: Trace = (name, value) => {
      names.push(name)
      values.push(value)
    }
    const [logits, ...rest] = await this.#evaluate(ids, () => values, trace)
    return new Map([
      ["logits", logits as Float32Array],
      ...rest.map((v, i) => [names[i], v] as [string, Float32Array]),
    ])
  }

  /**
   * Tokens that follow the prompt, as they come: a text, which BOS is put before, or ids. Several
   * generations may run at once, each with its own cache; where weights are trained meanwhile, a token
   * is of those that there are when it is chosen. Throws TypeError for a text without a tokenizer,
   * RangeError for what is out of range, the signal's reason on abort.
   */
  generate(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<Token, void, undefined> {
    const { config, capacity, tokenizer } = this
    return stream(this.#source, () => {
      checkObject("generate: options", options)
      const ids = promptIds(prompt, tokenizer)
      const checked = checkOptions(ids, options, config, capacity, tokenizer)
      return { prompt: ids, options: checked, textOf: continuation(ids, tokenizer) }
    })
  }

  /** What `work` gives while nothing moves the weights or frees them. It may ask on its way whether
   *  they are lost. @internal */
  reading<T>(work: (check: Check) => Promise<T>): Promise<T> {
    const { usage, residence } = this.#source
    return usage.reading(() => residence.during(work))
  }

  /** The same for work that moves the weights, which nothing else uses meanwhile. @internal */
  training<T>(work: (check: Check) => Promise<T>): Promise<T> {
    const { usage, residence } = this.#source
    return usage.writing(() => residence.training(work))
  }

  /** Writes config.json, model.safetensors and the tokenizer's file, if there is one, into a folder
   *  given by its path or a file URL, in the Hugging Face layout. Throws RangeError for quantized
   *  weights and for other URLs. */
  async save(folder: string | URL, options: SaveOptions = {}): Promise<void> {
    this.#source.usage.check()
    const path = pathToWrite(folder, "save: the folder")
    checkObject("save: options", options)
    const { dtype = this.dtype } = options
    if (!weightDTypes.includes(dtype)) {
      throw new RangeError(`save: dtype must be one of f32, f16, bf16, got ${kindOf(dtype)}`)
    }
    if (isQuantized(this.dtype) || isQuantized(dtype)) {
      throw new RangeError(
        `save writes f32, f16 or bf16 weights, got ${this.dtype} as ${dtype}. ` +
          "Save the model that they were made from, then use elm quantize",
      )
    }
    await this.reading((check) => {
      const rows = rowTensors(this.config, this.tensors, this.backend, dtype, "", check)
      return saveModel(path, this.config, rows, this.tokenizer)
    })
  }

  /** Frees everything that the model holds on its backend, when what is under way has ended: results
   *  come, and generations throw at their next token. */
  close(): Promise<void> {
    const { usage, sessions } = this.#source
    const closed = usage.close(() => {
      sessions.close()
      this.#loaded.free()
    })
    sessions.stop()
    for (const variant of this.#variants) void variant.close()
    return closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #openSession(): Session {
    const { config, backend, capacity, cache, weights } = this
    return new Session(config, weights, backend, this.#norms, { capacity, cache })
  }

  #evaluate(
    ids: readonly (readonly number[])[],
    more?: () => readonly Tensor[],
    trace?: Trace,
  ): Promise<Float32Array[]> {
    const { config, backend, cache, weights } = this
    const from = { config, weights, backend, norms: this.#norms, cache }
    return this.reading(() => evaluate(from, ids, more, trace))
  }
}
