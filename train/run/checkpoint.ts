// Checkpoints: a folder `step-00001000` with the weights as other tools read them, and beside them
// all that training needs to go on to the bit. A folder of that name is always whole: it is written
// under another name, synced, then renamed; it is removed the same way, if a run of this program wrote
// it and nobody has put anything into it.
import { bufferOf, DeviceLostError, runOnce, type Tensor } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import {
  adapterInternals,
  faultText,
  Holder,
  internals,
  loadMatrix,
  loadVector,
  onlyFinite,
  openSafetensors,
  publishedTensors,
  rowTensors,
  type SafetensorsFile,
  type Spec,
  savedAdapterFiles,
  savedFiles,
  saveModel,
  specsOf,
  syncFolder,
  type TensorData,
  type Tokenizer,
  writeFileWhole,
  writeSafetensors,
} from "../../model/index.ts"
import { type Fields, toFile } from "../spelling.ts"
import type { TrainStep } from "../step/step.ts"
import { hasMaster, type Parameter, sliced } from "../step/update.ts"
import {
  adapterMoments,
  optimizerFile,
  restoreAdapterMoments,
  sourceOf,
} from "./adapter_moments.ts"
import type { RunFolder } from "./folder.ts"
import { folderName, stepNamed } from "./names.ts"
import { type RunState, readKind, readRunState } from "./state.ts"
import { accompany, lentWeights, wholeOf } from "./whole.ts"
import type { LoopSettings } from "./work.ts"

export { readRunState } from "./state.ts"

/** Complete checkpoints of a run, oldest first. A folder that is not there has none. */
export async function checkpointsIn(run: string): Promise<string[]> {
  const { readdir } = fromNode("node:fs/promises")
  const { existsSync } = fromNode("node:fs")
  const { join } = fromNode("node:path")
  const names = await readdir(run).catch(() => [])
  const step = (name: string): number => stepNamed(name) as number
  return names
    .filter((name) => isNamed(name) && existsSync(join(run, name, "state.json")))
    .sort((a, b) => step(a) - step(b))
    .map((name) => join(run, name))
}

/** What has the name of a checkpoint in a folder and is none: a run would have to write over it. */
export async function foreignIn(run: string): Promise<string | undefined> {
  const { readdir } = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  const own = await checkpointsIn(run)
  const names = await readdir(run).catch(() => [])
  return names.map((name) => join(run, name)).find((path) => isNamed(path) && !own.includes(path))
}

const isNamed = (path: string): boolean => stepNamed(path) !== undefined

/** The last checkpoint of a run, or the checkpoint itself. */
export async function checkpointOf(path: string): Promise<string> {
  const { existsSync } = fromNode("node:fs")
  const { join } = fromNode("node:path")
  const found = (await checkpointsIn(path)).at(-1)
  if (found !== undefined) return found
  if (existsSync(join(path, "state.json"))) return path
  throw new Error(`${path} holds no checkpoint. Give the folder of a run, or leave --resume out`)
}

/** What of a run is written beside what it trains. */
type Written = Omit<RunState<LoopSettings>, "version" | "step">

interface WriteOptions {
  readonly tokenizer?: Tokenizer | undefined
  readonly keep: number
}

/**
 * Writes a checkpoint of `step` into the run's folder, keeps the last `keep` and the best, returns its path.
 * Throws Error that says which one is the last whole one.
 */
export function writeCheckpoint(
  run: RunFolder,
  step: TrainStep,
  state: Written,
  options: WriteOptions,
): Promise<string> {
  return step.still((check) => writeStill(check, run, step, state, options))
}

async function writeStill(
  check: () => Promise<void>,
  run: RunFolder,
  step: TrainStep,
  state: Written,
  { tokenizer, keep }: WriteOptions,
): Promise<string> {
  const { mkdir, rename, rm } = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  const path = join(run.path, folderName(step.steps))
  const temporary = run.scratch(folderName(step.steps))
  try {
    await run.check()
    await rm(temporary, { recursive: true, force: true })
    await mkdir(temporary)
    const all = { version: 1, step: step.steps, ...state } as const
    await writeParts(temporary, step, all, tokenizer)
    // Memory that was lost and given again would have been written as zeros.
    await check()
    await replace(run, path)
    await rename(temporary, path)
    await syncFolder(run.path)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {})
    // Whoever trains goes on from the one before, with another device.
    if (error instanceof DeviceLostError) throw error
    const last = (await checkpointsIn(run.path)).at(-1)
    throw new Error(
      `Cannot write a checkpoint of update ${step.steps} into ${run.path}: ${faultText(error)}. ` +
        (last ? `${last} is the last whole one; resume from it` : "There is none before it"),
      { cause: error },
    )
  }
  const all = await checkpointsIn(run.path)
  for (const old of all.slice(0, Math.max(0, all.length - keep))) {
    const isKept = old === path || stepNamed(old) === state.best?.step
    if (!isKept && (await isOwn(old))) await remove(run, old)
  }
  return path
}

async function writeParts(
  folder: string,
  step: TrainStep,
  state: RunState<LoopSettings>,
  tokenizer: Tokenizer | undefined,
): Promise<void> {
  const { join } = fromNode("node:path")
  const { adapter } = step.settings
  await writeSafetensors(join(folder, optimizerFile), onlyFinite(momentsOf(step)))
  const settings = toFile(state.settings as unknown as Fields)
  const text = `${JSON.stringify({ ...state, settings }, null, 1)}\n`
  await writeFileWhole(join(folder, "state.json"), new TextEncoder().encode(text))
  if (adapter) {
    await adapter.save(folder)
    return syncFolder(folder)
  }
  const { model } = step
  const templates = await internals(model).templates()
  await saveModel(folder, model.config, weightsOf(step), tokenizer, templates)
  await syncFolder(folder)
}

/** Takes part in what the first rank writes, where each has a part of it. */
export function accompanyCheckpoint(step: TrainStep): Promise<void> {
  return step.still(async () => {
    const { shard, adapter } = step.settings
    if (shard !== "none") await accompany(momentsOf(step))
    if (shard !== "full") return
    if (adapter) await adapterInternals(adapter, step.model.tensors).fingerprint()
    else await accompany(weightsOf(step))
  })
}

const momentsOf = (step: TrainStep): ReadonlyMap<string, TensorData> => {
  const { adapter } = step.settings
  return adapter ? adapterMoments(adapter, step) : optimizerTensors(step)
}

/** The weights as they are published. */
function weightsOf(step: TrainStep): ReadonlyMap<string, TensorData> {
  const { config, backend, dtype } = step.model
  return publishedTensors(config, lentWeights(step), backend, dtype === "bf16" ? "bf16" : "f32")
}

/** The optimizer's state, and masters where the weights are of fewer bits, as rows. */
function optimizerTensors(step: TrainStep): ReadonlyMap<string, TensorData> {
  const { parameters, settings } = step
  const { config, backend } = step.model
  const rows = (prefix: string, of: (i: number) => Tensor) =>
    rowTensors(
      config,
      new Map(parameters.map((p, i) => [p.name, wholeOf(step, p, of(i))])),
      backend,
      "f32",
      prefix,
    )
  const at = (i: number) => parameters[i] as (typeof parameters)[0]
  return new Map([
    ...settings.optimizer.state.flatMap((name, n) => [
      ...rows(`${name}.`, (i) => at(i).state[n] as Tensor),
    ]),
    ...(hasMasters(parameters) ? rows("master.", (i) => at(i).master) : []),
  ])
}

const hasMasters = (parameters: readonly Parameter[]): boolean =>
  parameters.some(({ weight }) => hasMaster(weight))

/** Fills states and masters, and the count of updates. The weights are the model's, or the adapter's,
 *  already. */
export async function restoreStep(
  checkpoint: string,
  step: TrainStep,
  state?: { readonly step: number },
): Promise<void> {
  const { step: made } = state ?? (await readRunState(checkpoint))
  const file = await openSafetensors(fromNode("node:path").join(checkpoint, optimizerFile))
  const { adapter } = step.settings
  try {
    await (adapter ? restoreAdapterMoments(file, adapter, step) : restoreMoments(file, step))
  } finally {
    await file.close()
  }
  step.steps = made
}

async function restoreMoments(file: SafetensorsFile, step: TrainStep): Promise<void> {
  const specs = new Map(specsOf(step.model.config).map((spec) => [spec.name, spec]))
  const masters = hasMasters(step.parameters)
  const { backend } = step.model
  for (const { name, weight, master, state, owned } of step.parameters) {
    const spec = specs.get(name) as Spec
    // What is read of a file is a whole tensor.
    const held = new Holder(backend)
    const whole = owned && held.allocate(weight.shape, "f32", weight)
    const parts: [string, Tensor][] = [
      ...step.settings.optimizer.state.map((part, n): [string, Tensor] => [
        `${part}.${name}`,
        state[n] as Tensor,
      ]),
      // Vectors too, which are their own masters: the model's file has them rounded.
      ...(masters ? [[`master.${spec.name}`, master] as [string, Tensor]] : []),
    ]
    try {
      for (const [name, own] of parts) {
        const target = whole ?? own
        const source = sourceOf(file, name, spec.shape)
        if (spec.matrix) await loadMatrix(source, { ...spec, name }, target, backend, "f32")
        else await loadVector(source, { ...spec, name }, target, backend)
        // Of what all have whole, the others' numbers too.
        const isWhole = owned && own === owned.weight && bufferOf(own) === bufferOf(weight)
        if (isWhole) await runOnce(backend, [[weight, target]])
        else if (owned && owned.size > 0) await runOnce(backend, [[own, sliced(target, owned)]])
      }
    } finally {
      held.free()
    }
  }
}

/** Files of a checkpoint that this program writes, whatever its model. */
const ownFiles: readonly string[] = [
  ...savedFiles,
  ...savedAdapterFiles,
  optimizerFile,
  "state.json",
]

/** Whether this program wrote a checkpoint, and nobody has put more into it. */
async function isOwn(checkpoint: string): Promise<boolean> {
  const { readdir } = fromNode("node:fs/promises")
  const files = await readdir(checkpoint).catch(() => [])
  if (files.some((name) => !ownFiles.includes(name))) return false
  const state = await readKind(checkpoint).catch(() => undefined)
  return state !== undefined && checkpoint.endsWith(folderName(state.step))
}

/** Makes way for a checkpoint of the same update. Throws Error where something else has its name. */
async function replace(run: RunFolder, path: string): Promise<void> {
  if (!fromNode("node:fs").existsSync(path)) return
  if (await isOwn(path)) return remove(run, path)
  throw new Error(`${path} is there already, and holds what this run did not write. Move it away`)
}

/** Renamed first, so that what is left of an interrupted removal is no checkpoint. */
async function remove(run: RunFolder, path: string): Promise<void> {
  const { rename, rm } = fromNode("node:fs/promises")
  const old = run.scratch(`old-${fromNode("node:path").basename(path)}`)
  await rename(path, old)
  await rm(old, { recursive: true, force: true })
}
