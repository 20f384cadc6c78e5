// One worker's samples, made in the calling thread or in a thread of its own that reads ahead a
// little; either way the same samples in the same order.
import { fromNode } from "../../engine/node.ts"
import type { Tokenizer } from "../../model/index.ts"
import type { DataConfig } from "./config.ts"
import { packedSamples } from "./pack.ts"
import { type Placed, type Sample, samples, type WorkerState } from "./samples.ts"
import type { Share } from "./walk.ts"

export interface Lane {
  /** The next sample, undefined after the last. Throws what stopped the worker. */
  next(): Promise<Placed | undefined>
  close(): Promise<void>
}

/** What a lane is made from; everything but the tokenizer and `skip` can be sent to a thread. */
export interface LaneOptions {
  readonly config: DataConfig
  readonly tokenizer: Tokenizer
  readonly share: Share
  readonly from: WorkerState
}

/** What a thread is born with. */
export interface LaneStart {
  readonly config: DataConfig
  readonly tokenizer: Tokenizer["file"]
  readonly share: Omit<Share, "skip">
  readonly from: WorkerState
}

/** From a thread: samples, the end of them, a skipped record, or the error that ended it. */
export type LaneMessage =
  | { readonly kind: "samples"; readonly batch: readonly Placed[] }
  | { readonly kind: "end" }
  | { readonly kind: "skip"; readonly message: string }
  | { readonly kind: "error"; readonly error: Error }

/** Batches that a thread may be ahead of the reader. */
export const batchesAhead = 3
/** Token ids of a batch: enough that messages cost little, little enough to wait for. */
const batchTokens = 1 << 14

export const batchSize = ({ sequenceLength }: DataConfig): number =>
  Math.max(1, Math.min(64, Math.floor(batchTokens / sequenceLength)))

/** The samples of a share, in this thread. */
export function samplesOfShare({
  config,
  tokenizer,
  share,
  from,
}: LaneOptions): AsyncGenerator<Placed> {
  const make = config.pack ? packedSamples : samples
  return make(config, tokenizer, share, from)
}

export function ownLane(options: LaneOptions): Lane {
  const placed = samplesOfShare(options)
  return {
    async next() {
      const { value, done } = await placed.next()
      return done ? undefined : value
    },
    async close() {
      await placed.return(undefined)
    },
  }
}

/** The memory of samples, to be handed over rather than copied. */
export const buffersOf = (batch: readonly Placed[]): ArrayBuffer[] =>
  batch.flatMap(([{ inputs, targets, starts }]: readonly [Sample, ...unknown[]]) =>
    [inputs, targets, ...(starts ? [starts] : [])].map(({ buffer }) => buffer as ArrayBuffer),
  )

export async function threadLane({ config, tokenizer, share, from }: LaneOptions): Promise<Lane> {
  const { Worker } = fromNode("node:worker_threads")
  const { skip, ...sendable } = share
  const start: LaneStart = { config, tokenizer: tokenizer.file, share: sendable, from }
  // Not in one expression, which bundlers take for a file of a page. Options such as --input-type are
  // for the main script only.
  const here = import.meta.url
  const options = { workerData: start, execArgv: [] }
  const worker = new Worker(new URL("./worker.js", here), options)
  const ready: Placed[][] = []
  let batch: readonly Placed[] = []
  let used = 0
  let ended: Error | "end" | undefined
  let wake = (): void => {}
  const end = (why: Error | "end"): void => {
    ended ??= why
    wake()
  }
  worker.on("message", (message: LaneMessage) => {
    if (message.kind === "skip") skip(message.message)
    else if (message.kind === "error") end(message.error)
    else if (message.kind === "end") end("end")
    else ready.push([...message.batch])
    wake()
  })
  worker.on("error", (error) => end(error instanceof Error ? error : new Error(String(error))))
  let closing = false
  worker.on("exit", (code) =>
    end(closing ? "end" : new Error(`a data worker ended with code ${code}`)),
  )
  // A thread that reads ahead keeps no process alive; waiting for it does.
  worker.unref()
  const wait = async (): Promise<void> => {
    worker.ref()
    await new Promise<void>((resolve) => {
      wake = resolve
    })
    worker.unref()
  }
  return {
    async next() {
      while (used === batch.length) {
        const next = ready.shift()
        if (next) {
          batch = next
          used = 0
          worker.postMessage("more")
        } else if (ended === "end") {
          return undefined
        } else if (ended) {
          throw ended
        } else {
          await wait()
        }
      }
      return batch[used++]
    },
    async close() {
      closing = true
      await worker.terminate()
    },
  }
}
