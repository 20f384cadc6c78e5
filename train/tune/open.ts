// The model of a tuning run, with the adapter that is trained beside it: as the run begins, and as its
// checkpoints have it.
import {
  type Adapter,
  addAdapter,
  internals,
  type LanguageModel,
  loadAdapter,
  loadModel,
  loadTokenizer,
  type Tokenizer,
} from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import { tensorsBeside } from "../optimizers/index.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import { sharedModel } from "../parallel/weights.ts"
import type { RunOptions } from "../run/run.ts"
import { readPlace } from "../run/state.ts"
import type { TuneSettings } from "./fields.ts"
import type { TuningModel } from "./objective.ts"

/** Where a model is opened, and the processes that open it together. */
type Opening = Pick<RunOptions, "backend" | "onDownload" | "ranks">

/** The model as a run begins with it, or, of a run of the weights themselves, as a checkpoint has it; of several
 *  ranks each has what the settings say. */
export async function openTuned(
  settings: TuneSettings,
  { backend, onDownload, ranks = alone }: Opening,
  checkpoint?: string,
): Promise<TuningModel> {
  const { model: base, dtype, adapter: kind } = settings
  const folder = kind === "none" ? (checkpoint ?? base) : base
  if (folder === undefined) throw new RangeError("give model: a folder, a file, a URL or ORG/NAME")
  const tokenizer = await tokenizerFor(settings, onDownload)
  const waiting = onDownload ? { onDownload } : {}
  const options = { backend, dtype, ...waiting, ...(tokenizer && { tokenizer }) }
  const model =
    settings.shard === "full" && ranks.size > 1
      ? await sharedModel(ranks, (home) => loadModel(folder, options, { home }))
      : await loadModel(folder, options, roomFor(settings, ranks))
  try {
    const own = tokenizer ?? model.tokenizer
    if (!own) throw new RangeError(`${folder} has no tokenizer. Give one with tokenizer`)
    const adapter = await adapterOf(settings, model, checkpoint)
    const templates = await internals(model).templates()
    return { model, tokenizer: own, templates, adapter }
  } catch (error) {
    await model.close()
    throw error
  }
}

async function tokenizerFor(
  { tokenizer }: TuneSettings,
  onDownload: RunOptions["onDownload"],
): Promise<Tokenizer | undefined> {
  if (tokenizer === undefined) return undefined
  return loadTokenizer(tokenizer, onDownload ? { onDownload } : {})
}

/** For what lies beside the weights where they are trained. */
function roomFor({ adapter, optimizer, dtype, shard }: TuneSettings, { size }: Communicator) {
  if (adapter !== "none") return {}
  return { room: Math.ceil(tensorsBeside(optimizer, dtype) / (shard === "state" ? size : 1)) }
}

async function adapterOf(
  settings: TuneSettings,
  model: LanguageModel,
  checkpoint: string | undefined,
): Promise<Adapter | undefined> {
  const { adapter: kind, from, rank, alpha, rankStabilised, dropout, targets, seed } = settings
  if (kind === "none") return undefined
  const folder = checkpoint ?? from
  if (folder === undefined) {
    const names = targets.split(",").flatMap((name) => name.trim() || [])
    const sizes = { rank, alpha, rankStabilised, dropout, seed }
    return addAdapter(model, { kind, ...sizes, targets: names })
  }
  // What is left out, and when, is the run's matter; PEFT's files have no seed.
  // A checkpoint is held against the whole hash of its base, which the run has recorded.
  const anyBase = settings.anyBase || checkpoint !== undefined
  const adapter = await loadAdapter(model, folder, { dropout, seed, anyBase })
  if (adapter.config.kind === kind) return adapter
  throw new RangeError(
    `${folder} holds an adapter of kind ${adapter.config.kind}, adapter is ${show(kind)}`,
  )
}

/** What tells the model that a run begins with from others. */
export const identityOfStart = ({ model }: TuningModel, { dtype }: TuneSettings): Promise<string> =>
  internals(model)
    .identity()
    .then((hash) => `${dtype} ${hash.slice(0, 32)}`)

/** Throws RangeError where the run that made the adapter to go on from had other weights in this dtype, unless any
 *  will do; of other folders nobody says. */
export async function checkBase(
  { from, dtype, anyBase }: TuneSettings,
  base: string,
): Promise<void> {
  const place = from === undefined || anyBase ? undefined : await readPlace(from)
  const other = isObject(place) ? place.base : undefined
  if (typeof other !== "string" || other === base || !other.startsWith(`${dtype} `)) return
  throw new RangeError(
    `${from}: the adapter is of a base ${show(other)}, the model is ${show(base)}. Give the model that it ` +
      "was tuned beside; anyBase (--any-base) takes it nonetheless",
  )
}

/** A second model of the same run, as it began, for as long as `work` takes. */
export async function atStart<T>(
  settings: TuneSettings,
  opening: Opening,
  work: (opened: TuningModel) => Promise<T>,
): Promise<T> {
  const opened = await openTuned(settings, opening)
  try {
    return await work(opened)
  } finally {
    await opened.model.close()
  }
}
