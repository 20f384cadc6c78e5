// Text into training samples: `textPipeline`, and the checked configuration of it. Nothing of
// Node is loaded before the first sample is asked for.
import { checkObject } from "../../engine/index.ts"
import type { Tokenizer } from "../../model/index.ts"
import type { DataConfig, DataOptions } from "./config.ts"
import type { FileSplit } from "./files.ts"
import type { Interleaved, PipelineState } from "./pipeline.ts"
import type { Sample } from "./samples.ts"

export {
  type CheckedSource,
  type DataConfig,
  type DataOptions,
  loadDataConfig,
  type Source,
} from "./config.ts"
export type { FileSplit as PipelineSplit } from "./files.ts"
export type { Normalization } from "./normalize.ts"
export type { PipelineState } from "./pipeline.ts"
export type { Sample, WorkerState as PipelinePlace } from "./samples.ts"
export type { Position as PipelinePosition } from "./walk.ts"

/** How a pipeline runs, beside what its data is. */
export interface PipelineOptions {
  /** Which of several processes this is. Default 0 of 1. */
  readonly rank?: number
  readonly worldSize?: number
  /** Instead of the configuration's. */
  readonly workers?: number
  /** Instead of the configuration's path. */
  readonly tokenizer?: Tokenizer
  /** Which of the configuration's sources are read. Default "train". */
  readonly split?: FileSplit
  /** How often the data is read. Default for ever, validation once. */
  readonly epochs?: number
  /** Where another pipeline of the same settings was: goes on with the sample after it. */
  readonly state?: PipelineState
  /** What errors call it; default "state". */
  readonly stateName?: string
  /** Called with each record or file that is skipped. */
  readonly onSkip?: (message: string) => void
}

/** Samples of a text, one after another, and the place to go on from. */
export interface TextPipeline extends AsyncIterableIterator<Sample, undefined> {
  /** Where it is after the last sample handed out; undefined before a first was asked for. */
  state(): PipelineState | undefined
  /** Records and files skipped so far, by workers that may be ahead of the samples. */
  readonly skipped: number
  /** Ends the workers, as `break` in a `for await` does. */
  return(): Promise<IteratorReturnResult<undefined>>
  /** Itself: samples come one after another. */
  [Symbol.asyncIterator](): TextPipeline
  /** Ends it, and the thread that it reads in. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Samples of (T) inputs and (T) targets from files of text, as OpenELM's original trains on them, or
 * packed. `config` is an object, the path of a YAML file, or that of a text file or folder.
 * The first sample throws RangeError or TypeError for settings, Error for files that are not there;
 * each throws what stopped a worker.
 */
export function textPipeline(
  config: string | DataOptions | DataConfig,
  options: PipelineOptions = {},
): TextPipeline {
  checkObject("textPipeline: options", options)
  let opened: Promise<Interleaved> | undefined
  let running: Interleaved | undefined
  let ended = false
  /** Calls that came before the one before had its answer wait for it. */
  let queue: Promise<unknown> = Promise.resolve()
  const close = async (): Promise<void> => {
    ended = true
    await (await opened?.catch(() => undefined))?.close()
  }
  const next = async (): Promise<IteratorResult<Sample, undefined>> => {
    if (ended) return { value: undefined, done: true }
    try {
      opened ??= open(config, options)
      running = await opened
      const value = await running.next()
      if (value) return { value, done: false }
    } catch (error) {
      await close()
      throw error
    }
    await close()
    return { value: undefined, done: true }
  }
  const pipeline: TextPipeline = {
    next() {
      const answer = queue.then(next)
      queue = answer.catch(() => {})
      return answer
    },
    async return() {
      await close()
      return { value: undefined, done: true }
    },
    state: () => running?.state() ?? options.state,
    get skipped() {
      return running?.skipped() ?? 0
    },
    [Symbol.asyncIterator]: () => pipeline,
    [Symbol.asyncDispose]: close,
  }
  return pipeline
}

async function open(given: string | DataOptions, options: PipelineOptions): Promise<Interleaved> {
  const { checkOptions, openPipeline } = await import("./open.ts")
  return openPipeline(given, checkOptions(options))
}
