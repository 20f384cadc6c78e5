// What a caller gives a training run, and what it reports and returns.
import type { Backend } from "../../engine/index.ts"
import type { DecoderConfig, Tokenizer, Waiting } from "../../model/index.ts"
import type { Communicator } from "../parallel/communicator.ts"
import type { StateBytes } from "../step/amounts.ts"
import type { Metrics, Validation } from "./metrics.ts"
import type { BestValidation } from "./state.ts"

/** What a run is given beside its settings: where it runs, and what it reports to. */
export interface RunOptions {
  readonly backend: Backend
  /** A checkpoint, or the folder of a run, to go on from. */
  readonly resume?: string
  /** Processes that make the run together; each calls with the same settings. The first alone writes, and
   *  makes samples. Default this process alone. */
  readonly ranks?: Communicator
  /** Updates between comparisons of what the ranks have; default 100, 0 for before checkpoints alone. */
  readonly compareEvery?: number
  /** Ends the run after the update at hand, with a checkpoint; before the first one at once. */
  readonly signal?: AbortSignal
  /** Measures the floating-point operations per second that the machine could do now. */
  readonly measureFlops?: () => Promise<number>
  /** Called before the first update, and again on another device. */
  readonly onStart?: (run: RunInfo) => void | Promise<void>
  /** Called after the first update, when the plan's memory is known. */
  readonly onMemory?: (memory: RunMemory) => void
  /** Called with every line of metrics; awaited. */
  readonly onMetrics?: (metrics: Metrics) => void | Promise<void>
  /** Called with the path of each checkpoint. */
  readonly onCheckpoint?: (path: string) => void
  /** Called when a run goes on with another device; `onStart` follows. */
  readonly onDeviceLost?: (message: string) => void
  /** Called with each record or file that the data skips. */
  readonly onSkip?: (message: string) => void
  /** Called as what comes before the first update goes on: what it is, and the part that is done. */
  readonly onProgress?: (what: string, part?: number) => void
  /** Called as files of the hub come into the cache: name, bytes so far and in all. */
  readonly onDownload?: NonNullable<Waiting["onDownload"]>
}

/** What is known of a run at its start. */
export interface RunInfo {
  readonly config: DecoderConfig
  readonly parameters: number
  /** Updates made before. */
  readonly step: number
  /** Updates in all. */
  readonly steps: number
  readonly tokenizer: Tokenizer
  /** Samples of every validation. */
  readonly validation: number
  /** Targets of this id carry no loss. */
  readonly ignoreIndex: number
  /** What else is known of it, a line each. */
  readonly about: readonly string[]
}

/** Memory of a run, in bytes; of several processes the most that one takes. */
export interface RunMemory {
  /** Weights, masters, moments and gradients. */
  readonly stateBytes: number
  /** Values between the steps of the plan, as this run keeps them. */
  readonly activationBytes: number
  /** The same with activation checkpointing the other way round. */
  readonly otherActivationBytes: number
  /** What the state is made of, where each process keeps a part of it. */
  readonly parts?: StateBytes
}

/** What a run ends with. */
export interface RunResult {
  readonly step: number
  readonly tokens: number
  /** Whether the signal ended it. */
  readonly stopped: boolean
  readonly checkpoint: string | undefined
  readonly lastEvaluation: Validation | undefined
  /** Whether validations ended it, which had not become better. */
  readonly isOver: boolean
  /** Of a run that keeps the checkpoint of its best validation. */
  readonly best?: BestValidation
}
