// The samples of all workers, one after the other in a fixed turn, and the state of the whole.

import type { Tokenizer } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import type { DataConfig } from "./config.ts"
import type { DataFile, Split } from "./files.ts"
import { type Lane, type LaneOptions, ownLane, threadLane } from "./lanes.ts"
import { firstPlace, type Place, type Sample } from "./samples.ts"

export interface PipelineParts {
  readonly config: DataConfig
  readonly files: readonly DataFile[]
  readonly tokenizer: Tokenizer
  readonly rank: number
  readonly worldSize: number
  readonly workers: number
  readonly split: Split
  readonly epochs: number
  readonly state: PipelineState | undefined
  readonly onSkip: (message: string) => void
}

/**
 * Where a pipeline is behind the last sample that it handed out; small, and JSON can hold it. The
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
  readonly places: readonly (Place | null)[]
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
  const settings = settingsOf(parts)
  checkState(state, settings, count)
  const places: (Place | null)[] = [...(state?.places ?? Array(count).fill(firstPlace))]
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

function laneOf(parts: PipelineParts, worker: number, count: number, from: Place): Promise<Lane> {
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
function settingsOf({
  config,
  files,
  tokenizer,
  rank,
  worldSize,
  workers,
  ...rest
}: PipelineParts) {
  const { sequence_length, words_per_piece, min_characters, min_tokens, seed } = config
  const { pack, shuffle_windows, shuffle_data, normalisation, interleave, shard_by } = config
  const order = pack ? `packed by ${shuffle_windows}` : "piece by piece"
  const names = files.map(({ path, key }) => `${path.replace(/.*[/\\]/, "")} ${key}`)
  return [
    `${rest.split} of ${files.length} files (${digest(names.join("\n"))})`,
    `rank ${rank} of ${worldSize}`,
    `${Math.max(1, workers)} workers`,
    `${order} of ${sequence_length} tokens and ${words_per_piece} words`,
    `at least ${min_characters} characters and ${min_tokens} tokens`,
    `${normalisation}, vocabulary of ${tokenizer.vocabSize}`,
    `seed ${seed}${shuffle_data ? "" : " unshuffled"}, shared by ${shard_by}, turns of ${interleave}`,
  ].join("; ")
}

/** FNV-1a of a text, in hexadecimal. */
function digest(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16)
}

function checkState(state: PipelineState | undefined, settings: string, count: number): void {
  if (state === undefined) return
  if (!isObject(state) || state.version !== 1 || !Array.isArray(state.places)) {
    throw new TypeError(`state is ${show(state)}, expected what a pipeline's state() returned`)
  }
  if (state.settings === settings && state.places.length === count) return
  const [was, is] = [String(state.settings), settings].map((text) => text.split("; "))
  const changed = (is as string[]).findIndex((text, i) => text !== was?.[i])
  throw new RangeError(
    `state is of another pipeline: ${was?.[changed]}, now ${is?.[changed]}. ` +
      "Go on with the same data and settings, or start without a state",
  )
}
