// An adapter beside the weights of a model: made, loaded, scaled, saved, freed. What is asked of the model
// goes through the one that it was given last, or that a call names.
import {
  DeviceLostError,
  isSingle,
  runOnce,
  sizeOf,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Pool } from "../generate/pool.ts"
import { type Source, withSource } from "../generate/source.ts"
import { show } from "../json.ts"
import type { RecorderOf } from "../recorder.ts"
import { Usage } from "../usage.ts"
import { Holder } from "../weights/holder.ts"
import { lostDevices, PreparedResidence } from "../weights/restore.ts"
import { endsOf } from "./ends.ts"
import { adapterFiles, saveAdapter } from "./files.ts"
import { type Fingerprint, fingerprintOf } from "./fingerprint.ts"
import { type AdapterConfig, type Module, modulesOf } from "./options.ts"
import type { AdapterParts } from "./parts.ts"
import { adapted, kept, ratioNow } from "./recorder.ts"
import { joined } from "./shares.ts"
import {
  type AdapterTensor,
  allocateAdapter,
  firstMagnitudes,
  firstNumbers,
  readNumbers,
  type ScalePlace,
  writeNumbers,
  writeScale,
} from "./tensors.ts"

/** Where an adapter is attached, and what it takes from there. */
export interface Host {
  readonly source: Source
  /** Frees the adapter with the model. */
  owns(adapter: Adapter): unknown
  /** Leaves the adapter when it is closed. */
  leave(adapter: Adapter): void
}

/** What the trainer needs of an adapter. */
interface AdapterInternals {
  /** The weights that it stands beside. */
  readonly base: ReadonlyMap<string, Tensor>
  readonly decoder: Decoder
  readonly parts: AdapterParts
  readonly listed: readonly AdapterTensor[]
  /** Whether the table that is looked up also gives the logits. */
  readonly isTied: boolean
  /** What tells the weights that it stands beside from others, as its files say it. */
  fingerprint(): Promise<Fingerprint>
  /** Tells that its numbers have moved. */
  moved(): void
  /** Puts the parts of matrices back to what training begins with, where nothing is added. */
  restart(): Promise<void>
  /** What `work` gives while nothing else uses the model, with what training moves. */
  training<T>(work: () => Promise<T>): Promise<T>
  reading<T>(work: () => Promise<T>): Promise<T>
}

const known = new WeakMap<Adapter, AdapterInternals>()

/** `tensors`: of the model that it is to be beside. Throws TypeError for what is no adapter, or another
 *  model's. */
export function adapterInternals(
  adapter: Adapter,
  tensors: ReadonlyMap<string, Tensor>,
): AdapterInternals {
  const found = known.get(adapter)
  if (found?.base === tensors) return found
  throw new TypeError(
    `the adapter must be what addAdapter or loadAdapter gave for this model, got ${show(adapter)}`,
  )
}

/** Of an adapter by itself. */
const ownOf = (adapter: Adapter): AdapterInternals => known.get(adapter) as AdapterInternals

/** Numbers of a tensor, row by row as files have them. */
type ValuesOf = (tensor: AdapterTensor) => Promise<Float32Array>

let begin: (host: Host, where: string, config: AdapterConfig, lost: number) => Adapter
let fill: (adapter: Adapter, values?: ValuesOf) => Promise<void>
let drop: (adapter: Adapter) => void

/** An adapter whose tensors `values` fills: without them, with what training begins with. */
export async function createAdapter(
  host: Host,
  where: string,
  config: AdapterConfig,
  values?: ValuesOf,
): Promise<Adapter> {
  const { backend, usage } = host.source
  usage.check()
  const adapter = begin(host, where, config, await lostDevices(backend))
  try {
    await fill(adapter, values)
    host.owns(adapter)
    return adapter
  } catch (error) {
    drop(adapter)
    throw error
  }
}

/** Low-rank matrices beside the weights of one model. */
export class Adapter {
  /** What it was made with, or what its files say. */
  readonly config: AdapterConfig
  /** Every trained tensor by its name, in the order and under the names of PEFT's files, in the layout of the
   *  backend. */
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly #host: Host
  readonly #held: Holder
  readonly #scales: ReadonlyMap<Module, ScalePlace>
  readonly #source: Source
  #scale = 1
  /** How often its numbers, or its scale, have changed, and of which of these what is made of them is. */
  #changes = 0
  #prepared = -1
  #isTrained = false
  #lost: number
  /** Numbers that memory is filled with again after its device was lost. */
  #first: ReadonlyMap<string, Float32Array> = new Map()

  static {
    begin = (host, where, config, lost) => new Adapter(host, where, config, lost)
    fill = (adapter, values) => adapter.#fill(values)
    drop = (adapter) => adapter.#held.free()
  }

  private constructor(host: Host, where: string, config: AdapterConfig, lost: number) {
    const { source } = host
    const ends = endsOf(source)
    const modules = modulesOf(where, source.decoder.config, config, ends.embedding, ends.head)
    const held = new Holder(source.backend)
    this.config = config
    this.#host = host
    this.#held = held
    this.#lost = lost
    try {
      const { parts, tensors, scales } = allocateAdapter(modules, config, source.tensors, held)
      this.tensors = new Map(tensors.map(({ name, tensor }) => [name, tensor]))
      this.#scales = scales
      const keptRatio: RecorderOf = (inputs) =>
        adapted(source.decoder.recorderOf(inputs), parts, kept)
      const decoder = { ...source.decoder, recorderOf: keptRatio, adapter: parts }
      const usage = new Usage("this adapter is closed. Load it again", source.usage)
      // Training finds products' parts and ratios by itself.
      const restored = new PreparedResidence(source.residence, () => this.#restore())
      const residence = new PreparedResidence(restored, () => this.#prepare(parts))
      const beside = { base: source, changes: () => this.#changes }
      const own = { decoder, usage, residence, pool: new Pool(), beside }
      this.#source = withSource(this, { ...source, ...own })
      known.set(this, {
        base: source.tensors,
        decoder,
        parts,
        listed: tensors,
        isTied: ends.embedding === ends.head,
        fingerprint: () => fingerprintOf(source),
        moved: () => {
          this.#changes++
        },
        restart: () => this.#fill(undefined, ({ module }) => module.isTable),
        training: (work) =>
          usage.writing(async () => {
            await restored.restored()
            this.#isTrained = true
            return restored.during(work)
          }),
        reading: (work) => usage.reading(() => restored.during(work)),
      })
    } catch (error) {
      held.free()
      throw error
    }
  }

  /** Numbers in all of its tensors. */
  get parameters(): number {
    return ownOf(this).listed.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  }

  /** What its share in every product is multiplied by, beside alpha and rank; 1 at first, 0 leaves it out. */
  get scale(): number {
    return this.#scale
  }

  /** Throws RangeError for what is no number of f32. */
  set scale(value: number) {
    if (typeof value !== "number" || !isSingle(value)) {
      throw new RangeError(`adapter: scale must be a number that f32 holds, got ${show(value)}`)
    }
    this.#source.usage.check()
    this.#scale = value
    this.#changes++
    this.#writeScales()
  }

  /** Writes adapter_config.json and adapter_model.safetensors as PEFT has them into a folder given by its path
   *  or a file URL; numbers in f32, and, in the file's metadata, what tells the weights that it stands beside. Throws RangeError for other URLs and for numbers that are not finite. */
  save(folder: string | URL): Promise<void> {
    return ownOf(this).reading(async () => saveAdapter(folder, await this.#saved()))
  }

  /** The files that `save` writes, by their names: for pages, which have no folders. */
  files(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
    return ownOf(this).reading(async () => adapterFiles(await this.#saved()))
  }

  /** Frees it when what is under way has ended; the model goes on without it. */
  close(): Promise<void> {
    const { usage, pool } = this.#source
    this.#host.leave(this)
    const closed = usage.close(() => {
      pool.close()
      this.#held.free()
    })
    pool.stop()
    return closed
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #saved() {
    const { listed, decoder, fingerprint } = ownOf(this)
    const read = (tensor: AdapterTensor) => readNumbers(tensor, this.#held)
    const base = await fingerprint()
    return { model: decoder.config, config: this.config, listed, base, read }
  }

  #writeScales(): void {
    for (const [{ scaling }, scale] of this.#scales) {
      writeScale(scale, scaling * this.#scale, this.#held)
    }
  }

  /** Writes numbers into all tensors but those that stay: `values`, else what training begins with. */
  async #fill(
    values?: ValuesOf,
    stays: (tensor: AdapterTensor) => boolean = () => false,
  ): Promise<void> {
    const { listed, parts } = ownOf(this)
    this.#writeScales()
    const first = new Map(this.#first)
    for (const tensor of listed) {
      if (stays(tensor) || (!values && tensor.role === "magnitude")) continue
      const numbers = (await values?.(tensor)) ?? firstNumbers(tensor, this.config.seed)
      first.set(tensor.name, numbers)
      await writeNumbers(tensor, numbers, this.#held)
    }
    const { source } = this.#host
    const whole = (name: string) => source.whole(name)
    const norms = values ? [] : await firstMagnitudes(parts, listed, whole, this.#held)
    for (const [tensor, numbers] of norms) {
      first.set(tensor.name, numbers)
      await writeNumbers(tensor, numbers, this.#held)
    }
    this.#first = first
  }

  /** What has to be there before anything is read: numbers, on this device. */
  async #restore(): Promise<void> {
    const lost = await lostDevices(this.#held.backend)
    if (lost === this.#lost) return
    if (this.#isTrained) {
      throw new DeviceLostError(
        "the device was lost with the adapter that was trained on it. Load the last checkpoint",
      )
    }
    this.#writeScales()
    for (const tensor of ownOf(this).listed) {
      await writeNumbers(tensor, this.#first.get(tensor.name) as Float32Array, this.#held)
    }
    this.#lost = lost
    this.#changes++
  }

  /** And before texts are generated: what is made of them once. */
  async #prepare({ linears }: AdapterParts): Promise<void> {
    if (this.#prepared === this.#changes) return
    this.#prepared = this.#changes
    for (const part of linears.values()) {
      const { a, b, dora, ...now } = joined(part)
      const updates: Update[] = []
      if (part.shares.length > 0) updates.push([part.a.weight, a.weight], [part.b.weight, b.weight])
      if (dora) updates.push([dora.ratio, ratioNow({ ...now, a, b, dora }, dora)])
      if (updates.length > 0) await runOnce(this.#held.backend, updates)
    }
  }
}
