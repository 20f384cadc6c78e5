// From a configuration and options to a running pipeline: the files are found, the tokenizer loaded,
// the workers started.

import { checkNumber, show } from "../../model/json.ts"
import { loadTokenizer, type Tokenizer } from "../../model/tokenizer/index.ts"
import { type DataOptions, loadDataConfig } from "./config.ts"
import { filesOf } from "./files.ts"
import type { PipelineOptions } from "./index.ts"
import { type Interleaved, interleave } from "./pipeline.ts"

export async function openPipeline(
  given: string | DataOptions,
  options: PipelineOptions,
): Promise<Interleaved> {
  const config = await loadDataConfig(given)
  const { split = "train", rank = 0, worldSize = 1 } = options
  return interleave({
    config,
    files: await filesOf(config, split),
    tokenizer: options.tokenizer ?? (await tokenizerOf(config.tokenizer)),
    rank,
    worldSize,
    workers: options.workers ?? config.workers,
    split,
    epochs: options.epochs ?? (split === "train" ? Number.POSITIVE_INFINITY : 1),
    state: options.state,
    stateName: options.stateName ?? "state",
    onSkip: options.onSkip ?? (() => {}),
  })
}

function tokenizerOf(path: string | undefined): Promise<Tokenizer> {
  if (path !== undefined) return loadTokenizer(path)
  throw new RangeError(
    'data: tokenizer is missing, expected a tokenizer.model, a tokenizer.json or "byte"; or give one in the options',
  )
}

/** Throws TypeError or RangeError for options that make no sense. */
export function checkOptions(options: PipelineOptions): PipelineOptions {
  const { rank = 0, worldSize = 1, workers, epochs, split = "train" } = options
  checkNumber("worldSize", worldSize, 1, 1 << 20, true)
  checkNumber("rank", rank, 0, worldSize - 1, true)
  if (workers !== undefined) checkNumber("workers", workers, 0, 64, true)
  if (epochs !== undefined && epochs !== Number.POSITIVE_INFINITY) {
    checkNumber("epochs", epochs, 1, Number.MAX_SAFE_INTEGER, true)
  }
  if (split === "train" || split === "validation") return options
  throw new RangeError(`split is ${show(split)}, expected "train" or "validation"`)
}
