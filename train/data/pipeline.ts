// The samples of all workers, one after the other in a fixed turn, and the state of the whole.

import type { Tokenizer } from "../../model/index.ts"
import type { DataConfig } from "./config.ts"
import type { DataFile, FileSplit } from "./files.ts"
import { fingerprintOf } from "./fingerprint.ts"
import { type Lane, type LaneOptions, ownLane, threadLane } from "./lanes.ts"
import { firstState, type Sample, type WorkerState } from "./samples.ts"
import { checkState } from "./state.ts"

export interface PipelineParts {
  readonly config: DataConfig
  readonly files: readonly DataFile[]
  readonly tokenizer: Tokenizer
  readonly rank: number
  readonly worldSize: number
  readonly workers: number
  readonly split: FileSplit
  readonly epochs: number
  readonly state: PipelineState | undefined
  readonly stateName: string
  readonly onSkip: (message: string) => void
}

/**
 * Where a pipeline is after the last sample that it handed out; small, and JSON can hold it. The
 * random generators are found again from the seed.
 */
export interface PipelineState {
  readonly version: 1
  /** What must be the same for the place to mean the same. */
  readonly settings: string
  /** Whose turn is next, and how many samples of its turn are out. */
  readonly turn: number
  readonly taken: number
  /** Each worker's place; null where it has come to its end. */
  readonly places: readonly (WorkerState | null)[]
}

export interface Interleaved {
  next(): Promise<Sample | undefined>
  state(): PipelineState
  skipped(): number
  close(): Promise<void>
}

/** Starts the workers, each at its place. */
export async function interleave(parts: PipelineParts): Promise<Interleaved> {
  const { config, workers, state } = parts
  const count = Math.max(1, workers)
  const settings = settingsOf(parts, await fingerprintOf(parts.files))
  if (state !== undefined) checkState(state, settings, parts)
  const places: (WorkerState | null)[] = [
    ...(state?.places ?? Array(count).fill(firstState(config))),
  ]
  let skipped = places.reduce((sum, place) => sum + (place?.skipped ?? 0), 0)
  const onSkip = (message: string): void => {
    skipped++
    parts.onSkip(message)
  }
  const lanes: (Lane | undefined)[] = []
  for (const [worker, from] of places.entries()) {
    lanes.push(from ? await laneOf({ ...parts, onSkip }, worker, count, from) : undefined)
  }
  let turn = state?.turn ?? 0
  let taken = state?.taken ?? 0
  const pass = (): void => {
    turn = (turn + 1) % count
    taken = 0
  }
  return {
    async next() {
      for (let ended = 0; ended < count; pass()) {
        const placed = await lanes[turn]?.next()
        if (!placed) {
          places[turn] = null
          ended++
          continue
        }
        const [sample, place] = placed
        places[turn] = place
        if (++taken === config.interleave) pass()
        return sample
      }
      return undefined
    },
    state: () => ({ version: 1, settings, turn, taken, places: [...places] }),
    skipped: () => skipped,
    async close() {
      await Promise.all(lanes.map((lane) => lane?.close()))
    },
  }
}

function laneOf(
  parts: PipelineParts,
  worker: number,
  count: number,
  from: WorkerState,
): Promise<Lane> {
  const { config, tokenizer, files, rank, worldSize, split, epochs, onSkip: skip } = parts
  const sharing = { rank: rank * count + worker, world: worldSize * count, split }
  const options: LaneOptions = {
    config,
    tokenizer,
    share: { ...sharing, files, epochs, skip },
    from,
  }
  return parts.workers === 0 ? Promise.resolve(ownLane(options)) : threadLane(options)
}

/** What decides which samples come in which order. */
function settingsOf(parts: PipelineParts, contents: string): string {
  const { config, files, tokenizer, rank, worldSize, workers, split } = parts
  const { sequenceLength, wordsPerPiece, minCharacters, minTokens, seed } = config
  const { pack, shuffleWindows, shuffleData, normalization, interleave, shardBy } = config
  const heldOut = config.holdOut > 0 ? `, ${config.holdOut} held out` : ""
  const order = pack ? `packed by ${shuffleWindows}` : "piece by piece"
  return [
    `${split} of ${files.length} files that hold ${contents}${heldOut}`,
    `rank ${rank} of ${worldSize}`,
    `${Math.max(1, workers)} workers`,
    `${order} of ${sequenceLength} tokens and ${wordsPerPiece} words`,
    `at least ${minCharacters} characters and ${minTokens} tokens`,
    `${normalization}, vocabulary of ${tokenizer.vocabSize}`,
    `seed ${seed}${shuffleData ? "" : " unshuffled"}, shared by ${shardBy}, turns of ${interleave}`,
  ].join("; ")
}
