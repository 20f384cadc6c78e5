// What every tuning run repeats, whatever its objective: the model and its adapter opened, records read and
// held out, micro-batches in order, rates, validation, samples, the place in the data.
import { fromNode } from "../../engine/node.ts"
import type { LanguageModel, Tokenizer } from "../../model/index.ts"
import { show } from "../../model/json.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import { restoreStep } from "../run/checkpoint.ts"
import type { Validation } from "../run/metrics.ts"
import { aboutRanks, sharedUpdates } from "../run/ranks.ts"
import type { RunOptions } from "../run/run.ts"
import { withWholeModel } from "../run/whole.ts"
import type { Resumed, RunKind, Updated, Work } from "../run/work.ts"
import { inFile } from "../spelling.ts"
import type { TrainStep } from "../step/step.ts"
import type { TuneSettings } from "./fields.ts"
import type { Learner, TuneObjective, TuningModel } from "./objective.ts"
import { checkBase, identityOfStart, openTuned } from "./open.ts"
import { ExampleStream } from "./order.ts"
import { heldOut, readExamples } from "./records.ts"
import { rateOf } from "./schedule.ts"
import { checkTuneWritten } from "./settings.ts"
import { promptOf } from "./texts.ts"

/** Runs of an objective, as their command and their checkpoints know them. */
export const kindOf = <S extends TuneSettings, E>(objective: TuneObjective<S, E>): RunKind<S> => ({
  name: objective.name,
  command: objective.list.command,
  sharedOut: sharedUpdates,
  check: async (written, from) => checkTuneWritten(objective, written, from),
  toWrite: (settings) => ({ ...settings, out: fromNode("node:path").resolve(settings.out) }),
  open: (settings, options, from) => Tuning.open(objective, settings, options, from),
})

/** What a run's examples are made of, in the settings of its checkpoints. */
interface Place {
  readonly examples: string
  readonly base: string
  readonly epoch: number
  readonly batch: number
}

class Tuning<S extends TuneSettings, E> implements Work {
  readonly model: LanguageModel
  readonly tokenizer: Tokenizer
  readonly step: TrainStep
  readonly steps: number
  readonly validation: number
  readonly about: readonly string[]
  readonly #settings: S
  readonly #learner: Learner
  readonly #stream: ExampleStream
  readonly #identity: Pick<Place, "examples" | "base">
  /** Tokens that samples begin with. */
  readonly #prompt: readonly number[]

  private constructor(settings: S, opened: Opened, found: Found<E>, learner: Learner) {
    this.#settings = settings
    this.model = opened.model
    this.tokenizer = opened.tokenizer
    this.step = learner.step
    this.steps = found.steps
    this.validation = found.validation.length
    this.#learner = learner
    this.#stream = found.stream
    this.#identity = found.identity
    this.#prompt = found.prompt
    const about = [...aboutOf(settings, opened, found), ...learner.about]
    this.about = [...about, ...aboutRanks(settings, opened.ranks)]
  }

  static async open<S extends TuneSettings, E>(
    objective: TuneObjective<S, E>,
    settings: S,
    options: RunOptions,
    from: Resumed<S> | undefined,
  ): Promise<Tuning<S, E>> {
    const { ranks = alone } = options
    const opened = await openTuned(settings, options, from?.checkpoint)
    let learner: Learner | undefined
    try {
      const found = await findExamples(objective, settings, opened, options)
      if (from) goOn(from, found)
      else await checkBase(settings, found.identity.base)
      const { training, validation } = found
      learner = await objective.learnerOf({
        ...{ ...opened, ranks, settings, training, validation, identity: found.identity },
        isResumed: from !== undefined,
        fileOf: (name) => fromNode("node:path").join(settings.out, name),
        signal: options.signal,
        onProgress: options.onProgress ?? (() => {}),
      })
      if (from) await restoreStep(from.checkpoint, learner.step, from.state)
      return new Tuning(settings, { ...opened, ranks }, found, learner)
    } catch (error) {
      await learner?.close()
      await opened.model.close()
      throw error
    }
  }

  async update(): Promise<Updated> {
    const { accumulation } = this.#settings
    const lr = rateOf(this.#settings, this.step.steps, this.steps)
    const microBatches = Array.from({ length: accumulation }, () => this.#stream.next())
    return { lr, ...(await this.#learner.update(microBatches, lr)) }
  }

  report() {
    return this.#learner.report()
  }

  async evaluate(): Promise<Validation | undefined> {
    if (this.validation === 0) return undefined
    return { step: this.step.steps, ...(await this.#learner.evaluate()) } as Validation
  }

  async sample(): Promise<string | undefined> {
    const { sampleTokens, seed } = this.#settings
    const { capacity } = this.model
    const ids = this.#prompt.slice(-(capacity - 1))
    if (ids.length === 0) return undefined
    const maxNewTokens = Math.min(sampleTokens, capacity - ids.length)
    const random = { temperature: 0.8, topP: 0.95, seed: (seed + this.step.steps) % 2 ** 32 }
    return withWholeModel(this.step, this.tokenizer, async (model) => {
      let text = this.tokenizer.decode(ids)
      for await (const token of model.generate(ids, { maxNewTokens, ...random })) text += token.text
      return text
    })
  }

  place(): Place {
    return { ...this.#identity, ...this.#stream.place }
  }

  async close(): Promise<void> {
    await this.#learner.close()
    await this.model.close()
  }
}

interface Opened extends TuningModel {
  readonly ranks: Communicator
}

/** What the records of a run give. */
interface Found<E> {
  readonly training: readonly E[]
  readonly validation: readonly E[]
  readonly skipped: number
  readonly stream: ExampleStream
  readonly steps: number
  readonly identity: Pick<Place, "examples" | "base">
  readonly prompt: readonly number[]
}

async function findExamples<S extends TuneSettings, E>(
  objective: TuneObjective<S, E>,
  settings: S,
  opened: TuningModel,
  { onSkip: say, onProgress, signal, ranks = alone }: RunOptions,
): Promise<Found<E>> {
  const { data, validation, skipBad, seed, evalExamples, prompt: begin } = settings
  if (data === undefined) throw new RangeError("give data: a file of records, .jsonl or .parquet")
  // All ranks read all records: the first says what is wrong with them.
  const onSkip = ranks.rank === 0 ? say : undefined
  const reports = { ...(onSkip && { onSkip }), ...(onProgress && { onProgress }) }
  // Several end together, where they meet.
  const reading = { skipBad, signal: ranks.size === 1 ? signal : undefined, ...reports }
  const read = (path: string) =>
    readExamples(path, (row) => objective.examplesOf(row, settings, opened), reading)
  const own = await read(data)
  const other = typeof validation === "string" ? await read(validation) : undefined
  const split = other
    ? { training: own.records.flat(), validation: other.records.flat() }
    : heldOut(own.records, typeof validation === "number" ? validation : 0, seed)
  const validated = split.validation.slice(0, evalExamples)
  const { training } = split
  const stream = streamOf(objective, settings, opened, training)
  const steps = settings.steps ?? stream.updatesIn(settings.epochs, settings.accumulation)
  const examples = fingerprintOf(objective, [...training, ...validated])
  const { tokenizer } = opened
  const first = objective.textsOf((validated[0] ?? training[0]) as E)[0]
  const given = begin === "" ? undefined : tokenizer.encode(begin, { bos: tokenizer.bosId >= 0 })
  const prompt = given ?? (first ? promptOf(first) : [])
  const base = settings.adapter === "none" ? "" : await baseOf(opened, settings)
  const skipped = own.skipped + (other?.skipped ?? 0)
  const identity = { examples, base }
  return { training, validation: validated, skipped, stream, steps, identity, prompt }
}

/** The weights that an adapter stands beside, without it. */
async function baseOf(opened: TuningModel, settings: TuneSettings): Promise<string> {
  const { model } = opened
  const { adapter } = model
  model.adapter = undefined
  const hash = await identityOfStart(opened, settings)
  model.adapter = adapter
  return hash
}

function streamOf<S extends TuneSettings, E>(
  { orderOf, windowOf, textsOf }: TuneObjective<S, E>,
  settings: S,
  { model }: TuningModel,
  training: readonly E[],
): ExampleStream {
  const lengths = training.map((each) => Math.max(...textsOf(each).map((t) => t.ids.length - 1)))
  const rows = settings.batchSize / settings.accumulation
  const window = windowOf?.(settings, model)
  return new ExampleStream({ lengths, orderOf: orderOf(settings), rows, window })
}

/** What tells examples from others: their ids and labels. */
function fingerprintOf<S extends TuneSettings, E>(
  { textsOf }: Pick<TuneObjective<S, E>, "textsOf">,
  examples: readonly E[],
): string {
  const hash = fromNode("node:crypto").createHash("sha256")
  for (const { ids, labels } of examples.flatMap(textsOf)) {
    hash.update(Int32Array.from([ids.length, ...ids, ...labels]))
  }
  return hash.digest("hex").slice(0, 32)
}

/** Puts a stream where a checkpoint has it. Throws RangeError for other data, and for another base. */
function goOn<S, E>(
  { checkpoint, state }: Resumed<S>,
  { identity, stream, steps }: Found<E>,
): void {
  const path = fromNode("node:path").join(checkpoint, "state.json")
  const data = (state.data ?? {}) as Partial<Place>
  if (data.base !== identity.base) {
    throw new RangeError(
      `${path}: the adapter is of a base ${show(data.base)}, the model is ${show(identity.base)}. ` +
        "Go on with the model and the dtype that the run began with",
    )
  }
  if (data.examples !== identity.examples) {
    throw new RangeError(
      `${path}: the run had examples ${show(data.examples)}, the data gives ` +
        `${show(identity.examples)}. Go on with the same data, or start another run`,
    )
  }
  if (steps < state.step) {
    throw new RangeError(
      `the run has made ${state.step} updates of ${steps}. Give more ${inFile("epochs")} or steps`,
    )
  }
  stream.goTo(data, `${path}: data`)
}

function aboutOf<E>(
  { data, dtype, adapter: kind, epochs, steps }: TuneSettings,
  { model, adapter }: TuningModel,
  { training, validation, skipped, steps: all }: Found<E>,
): string[] {
  const size = (n: number): string => `${(n / 1e6).toFixed(n < 1e5 ? 4 : 2)} M`
  const what = adapter
    ? `${kind} of rank ${adapter.config.rank}: ${size(adapter.parameters)} numbers beside ` +
      `${size(model.parameters)} in ${dtype}, which stay`
    : `all ${size(model.parameters)} numbers in ${dtype} are trained`
  const passed = skipped > 0 ? `, ${skipped} records skipped` : ""
  const often = steps === undefined ? `, ${epochs} epochs` : ""
  const held = validation.length > 0 ? `validation on ${validation.length}` : "no validation"
  return [what, `${training.length} examples of ${data}, ${held}${passed}; ${all} updates${often}`]
}
