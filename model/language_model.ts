// A model of any family on a backend: loading, logits, generation. OpenELM is the same class under this
// package's name. What the trainer and the benchmarks need beside it is in `internals`.
import { type Backend, checkObject, type Tensor } from "../engine/index.ts"
import type { Adapter } from "./adapters/adapter.ts"
import { AdapterSlot } from "./adapters/slot.ts"
import type { DecoderConfig } from "./architecture.ts"
import type { SizeName } from "./architectures/openelm/sizes.ts"
import {
  type ChatCompletionOptions,
  type ChatOptions,
  chat,
  completeChat,
  type Speaker,
} from "./chat/chat.ts"
import type { ChatMessage } from "./chat/template.ts"
import { savedDType, saveModel } from "./checkpoints/saving.ts"
import { parameterCount } from "./config.ts"
import { type FileSource, pathToWrite } from "./files/source.ts"
import { type CompleteOptions, complete, type Prompt, promptsOf } from "./generate/complete.ts"
import type { Completion } from "./generate/completion.ts"
import { type EmbedOptions, embeddingsOf } from "./generate/embed.ts"
import { evaluate, evaluateTraced } from "./generate/evaluate.ts"
import type { Token } from "./generate/generate.ts"
import { checkScored } from "./generate/ids.ts"
import type { GenerateOptions } from "./generate/options.ts"
import { Pool } from "./generate/pool.ts"
import { KeptSequence, type PromptCache } from "./generate/prompt_cache.ts"
import { streamRequest } from "./generate/request.ts"
import { type Scores, scoresOf } from "./generate/sequence.ts"
import { type Source, withSource } from "./generate/source.ts"
import type { CacheDType } from "./generate/state.ts"
import { stream } from "./generate/stream.ts"
import { promptIds } from "./generate/text.ts"
import { type Internals, internalsOver, type Placement } from "./internals.ts"
import { loadParts, type ModelParts, randomParts } from "./loading.ts"
import type { LoadOptions, RandomOptions, SaveOptions } from "./options.ts"
import { inference, type RecorderOf } from "./recorder.ts"
import type { Tokenizer } from "./tokenizer/index.ts"
import { Usage } from "./usage.ts"
import type { WeightDType } from "./weights/layout.ts"
import type { Check } from "./weights/restore.ts"
import { publishedTensors } from "./weights/unpacking.ts"

let internalsOf: (model: LanguageModel) => Internals
let create: (parts: ModelParts) => LanguageModel

export const internals = (model: LanguageModel): Internals => internalsOf(model)

/** A decoder of any family with its weights on a backend: logits, generation, saving. */
export class LanguageModel {
  readonly config: DecoderConfig
  readonly backend: Backend
  readonly dtype: WeightDType
  readonly capacity: number
  readonly cache: CacheDType
  /** Bytes of the weights on the backend. */
  readonly weightBytes: number
  /** Turns text into ids and back, where the model has one. */
  readonly tokenizer: Tokenizer | undefined
  readonly #parts: ModelParts
  readonly #slot: AdapterSlot

  static {
    internalsOf = (model) => model.#internals()
    create = (parts) => new LanguageModel(parts, inference)
  }

  private constructor(parts: ModelParts, recorderOf: RecorderOf, parent?: Usage) {
    const { config, options, loaded, tokenizer, residence } = parts
    const { backend, dtype, capacity, cache } = options
    const { weights, tensors, tables, whole } = loaded
    this.#parts = parts
    this.config = config
    this.backend = backend
    this.dtype = dtype
    this.capacity = capacity
    this.cache = cache
    this.weightBytes = loaded.bytes
    const source = withSource(this, {
      decoder: { config, weights, recorderOf },
      ...{ tensors, tables, whole, backend },
      options: { capacity, cache },
      usage: new Usage("this model is closed. Load it again", parent),
      residence,
      pool: new Pool(),
    })
    this.#slot = new AdapterSlot(source)
    this.tokenizer = tokenizer
  }

  /**
   * Reads a model in any form, by its path or its http or https URL, or, in a page, from files: a folder
   * of the Hugging Face layout, of MLX or of `elm quantize`; a file of torch.save; a GGUF file. Throws Error
   * for files that are not there, SyntaxError for those that do not parse, RangeError for sizes and values
   * out of range.
   */
  static load(folder: FileSource, options: LoadOptions): Promise<LanguageModel> {
    return loadModel(folder, options)
  }

  /** A model by its published name ("270M", "3B", "Pythia-1.4B", …) or any config, with seeded weights. */
  static random(size: SizeName | DecoderConfig, options: RandomOptions): Promise<LanguageModel> {
    return randomModel(size, options)
  }

  /** The adapter that what is asked of the model goes through; undefined: its weights as they are. The one that
   *  was added or loaded last, or what is put here. */
  get adapter(): Adapter | undefined {
    return this.#slot.adapter
  }

  /** Throws TypeError for what is no adapter of this model. */
  set adapter(adapter: Adapter | undefined) {
    this.#slot.adapter = adapter
  }

  /** Every weight by its name in the family's state dict, in the layout of the backend. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return this.#parts.loaded.tensors
  }

  /** Numbers in all weights; what is shared counts once. */
  get parameters(): number {
    return parameterCount(this.config)
  }

  /**
   * Logits of every position, (B, T, V) in row-major order, in f32.
   * Throws RangeError for ids outside the vocabulary, rows of unequal length, or T beyond the context.
   */
  async logits(ids: readonly (readonly number[])[]): Promise<Float32Array> {
    const { decoder, backend, options } = this.#source
    const values = await this.#reading(() => evaluate(decoder, backend, options.cache, ids))
    return values[0] as Float32Array
  }

  /** Logits, and every intermediate value of the forward pass by name (model/forward.ts). */
  async activations(ids: readonly (readonly number[])[]): Promise<Map<string, Float32Array>> {
    const { decoder, backend, options } = this.#source
    return this.#reading(() => evaluateTraced(decoder, backend, options.cache, ids))
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
    const source = this.#slot.sourceFor(Object(options).adapter)
    return stream(source, () => streamRequest(source, this.tokenizer, prompt, options))
  }

  /**
   * Whole continuations in one call: of one prompt, or of several, which are decoded side by side with
   * the tokens that each has alone; a list where several are asked for. Throws as `generate` does.
   */
  complete(
    prompt: Prompt,
    options: CompleteOptions & { readonly numReturnSequences: number },
  ): Promise<Completion[]>
  complete(prompt: Prompt, options?: CompleteOptions): Promise<Completion>
  complete(prompts: readonly Prompt[], options?: CompleteOptions): Promise<Completion[]>
  async complete(given: Prompt | readonly Prompt[], options: CompleteOptions = {}) {
    checkObject("complete: options", options)
    const many = promptsOf(given)
    const prompts = many ?? [given as Prompt]
    const sources = this.#slot.sourcesFor(options.adapter, prompts.length)
    const all = await complete(sources, this.tokenizer, prompts, options)
    return many || options.numReturnSequences !== undefined ? all : all[0]
  }

  /**
   * The answer to a conversation, as it comes: its messages by the chat template of the model's folder, or
   * by OpenELM's instruct template where that has none, and what follows them as `generate` has it. With
   * `promptCache`, only what is new is read. Throws TypeError for what are no messages and without a
   * tokenizer, Error for what the template refuses.
   */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): ReturnType<typeof chat> {
    return chat(this.#speaker(options), messages, options)
  }

  /** The whole answer in one call. */
  async completeChat(
    messages: readonly ChatMessage[],
    options: ChatCompletionOptions = {},
  ): Promise<Completion> {
    return completeChat(this.#speaker(options), messages, options)
  }

  /** The chat templates of the model's folder by their names; none where it has none. */
  async chatTemplates(): Promise<ReadonlyMap<string, string>> {
    return (await this.#parts.templates()).named
  }

  /** Memory for keys and values that stay between calls, to be closed: `generate`, `complete` and `chat`
   *  take it as `promptCache`, with the adapter that it is of. */
  promptCache({ adapter }: Pick<GenerateOptions, "adapter"> = {}): PromptCache {
    return new KeptSequence(this.#slot.sourceFor(adapter))
  }

  /**
   * Of every token but the first, the logarithm of its probability after those before it, and the
   * likeliest token in its place. Throws TypeError for a text without a tokenizer, RangeError for ids
   * outside the vocabulary and for more tokens than the cache holds.
   */
  async score(text: string | readonly number[]): Promise<Scores> {
    const ids = promptIds(text, this.tokenizer, "score")
    checkScored(ids, this.config, this.capacity)
    return this.#reading(() => scoresOf(ids, this.#source))
  }

  /**
   * A vector of D numbers for a text, or for each of several, which are read side by side: the mean of its
   * tokens' hidden states after the last norm. Throws as `score` does.
   */
  embed(text: Prompt, options?: EmbedOptions): Promise<Float32Array>
  embed(texts: readonly Prompt[], options?: EmbedOptions): Promise<Float32Array[]>
  async embed(given: Prompt | readonly Prompt[], options: EmbedOptions = {}) {
    const many = promptsOf(given)
    const texts = (many ?? [given as Prompt]).map((x) => promptIds(x, this.tokenizer, "embed"))
    const all = await this.#reading(() => embeddingsOf(this.#source, texts, options))
    return many ? all : all[0]
  }

  /** Writes config.json, model.safetensors, the tokenizer's file and chat templates, if there are any, into
   *  a folder given by its path or a file URL, in the Hugging Face layout. Throws RangeError for quantized
   *  weights and for other URLs. */
  async save(folder: string | URL, options: SaveOptions = {}): Promise<void> {
    this.#source.usage.check()
    const path = pathToWrite(folder, "save: the folder")
    checkObject("save: options", options)
    const dtype = savedDType(this.dtype, options.dtype)
    await this.#reading(async (check) => {
      const templates = await this.#parts.templates()
      const rows = publishedTensors(this.config, this.tensors, this.backend, dtype, check)
      return saveModel(path, this.config, rows, this.tokenizer, templates)
    })
  }

  /** Frees everything that the model holds on its backend, when what is under way has ended: results
   *  come, and generations throw at their next token. */
  close(): Promise<void> {
    const { usage, pool } = this.#slot.base
    const closed = usage.close(() => {
      pool.close()
      this.#parts.loaded.free()
    })
    pool.stop()
    for (const each of this.#slot.owned) void each.close()
    return closed
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #reading<T>(work: (check: Check) => Promise<T>): Promise<T> {
    const { usage, residence } = this.#source
    return usage.reading(() => residence.during(work))
  }

  readonly #speaker = (options: object): Speaker => {
    const source = this.#slot.sourceFor(Object(options).adapter)
    return { source, tokenizer: this.tokenizer, templates: this.#parts.templates }
  }

  get #source(): Source {
    return this.#slot.source
  }

  #internals(): Internals {
    const { base, owned } = this.#slot
    return internalsOver(this.#slot, this.#speaker, (recorderOf) => {
      const loaded = { ...this.#parts.loaded, free() {} }
      const variant = new LanguageModel({ ...this.#parts, loaded }, recorderOf, base.usage)
      owned.add(variant)
      return variant
    })
  }
}

/** A model from a folder; see LanguageModel.load. */
export const loadModel = async (
  folder: FileSource,
  options: LoadOptions,
  placement: Placement = {},
): Promise<LanguageModel> => create(await loadParts(folder, options, placement))

/** A model of seeded weights; see LanguageModel.random. */
export const randomModel = async (
  size: SizeName | DecoderConfig,
  options: RandomOptions,
  placement: Placement = {},
): Promise<LanguageModel> => create(await randomParts(size, options, placement))
