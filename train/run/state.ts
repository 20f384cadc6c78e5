// state.json of a checkpoint: what a run goes on with beside the tensors.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { isObject, type Json, parseJson, show } from "../../model/json.ts"
import { printable } from "../../model/printable.ts"
import type { Settings } from "./fields.ts"
import { stepNamed } from "./names.ts"
import type { LoopSettings, RunKind } from "./work.ts"

/** The validation that none was better than. */
export interface BestValidation {
  readonly step: number
  readonly loss: number
  /** Validations since. */
  readonly worse: number
}

/** What is not a tensor; JSON can hold it. */
export interface RunState<S = Settings> {
  readonly version: 1
  /** What kind of run it is of; none of pre-training. */
  readonly kind?: string
  /** Updates made. */
  readonly step: number
  /** Tokens whose loss has been taken. */
  readonly tokens: number
  /** The run's settings, as they were checked; spelled in the file as in a configuration. */
  readonly settings: S
  /** Where the data is after the last batch; null for data of the caller's own. */
  readonly data: unknown
  /** Of a run that keeps its best checkpoint. */
  readonly best?: BestValidation
}

/** What is read of a kind of run. */
type Known<S extends LoopSettings> = Pick<RunKind<S>, "name" | "command" | "check">

/** Of runs of `elm train`. */
export const pretrainingState: Known<Settings> = {
  name: undefined,
  command: "elm train",
  // Not above: a page that loads the package has no need of what checks settings.
  check: async (written, from) => (await import("./settings.ts")).checkWritten(written, from),
}

/** What is read of any state.json. Throws as `readRunState` does. */
async function readJson(path: string): Promise<Json> {
  const bytes = await fromNode("node:fs/promises")
    .readFile(path)
    .catch((error: Error) => {
      throw new Error(`Cannot open ${path}: ${faultText(error)}. Give the folder of a checkpoint`)
    })
  const state = parseJson(bytes, path)
  if (!isObject(state)) {
    throw new SyntaxError(`${path}: it is ${show(state)}, expected a training state of version 1`)
  }
  return state
}

/** The kind and the updates of a checkpoint, whatever it is of. */
export async function readKind(checkpoint: string) {
  const path = fromNode("node:path").join(checkpoint, "state.json")
  const { version, kind, step } = await readJson(path)
  if (version === 1 && isCount(step) && (kind === undefined || typeof kind === "string")) {
    return { kind, step }
  }
  throw new SyntaxError(`${path} is no training state of version 1`)
}

/** Where a run's data was when a folder was written; undefined for one that no run wrote. */
export async function readPlace(folder: string): Promise<unknown> {
  const path = fromNode("node:path").join(folder, "state.json")
  return fromNode("node:fs").existsSync(path) ? (await readJson(path)).data : undefined
}

/** state.json of a checkpoint of a kind of run, of pre-training where none is given. Throws Error or
 *  SyntaxError that names the file and the field. */
export async function readRunState(checkpoint: string): Promise<RunState>
export async function readRunState<S extends LoopSettings>(
  checkpoint: string,
  kind: Known<S>,
): Promise<RunState<S>>
export async function readRunState(
  checkpoint: string,
  kind: Known<LoopSettings> = pretrainingState as unknown as Known<LoopSettings>,
): Promise<RunState<LoopSettings>> {
  const path = fromNode("node:path").join(checkpoint, "state.json")
  const state = await readJson(path)
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new SyntaxError(`${path}: ${field} is ${show(value)}, expected ${expected}`)
  }
  const { version, step, tokens, settings, data } = state
  if (version !== 1) fail("version", version, "1")
  if (state.kind !== kind.name) {
    const other =
      state.kind === undefined ? "elm train" : `elm tune ${printable(String(state.kind))}`
    throw new Error(`${path} is of a run of ${other}, not of ${kind.command}`)
  }
  if (!isCount(step)) fail("step", step, "a whole number from 0")
  if (!isCount(tokens)) fail("tokens", tokens, "a whole number from 0")
  if (!isObject(settings)) return fail("settings", settings, "the settings of the run")
  const checked = await kind.check(settings, `${path}: settings`)
  const named = stepNamed(checkpoint)
  if (named !== undefined && named !== step) fail("step", step, `${named}, as its folder is named`)
  // What the place in the data is made of, the pipeline checks: it may be of a caller's own.
  if (data === undefined || (data !== null && !isObject(data))) {
    fail("data", data, "a place in the data, or null")
  }
  if (state.best !== undefined && !isBest(state.best)) {
    fail("best", state.best, "a step, its loss, and how many were worse")
  }
  return { ...state, settings: checked } as unknown as RunState<LoopSettings>
}

const isBest = (best: unknown): boolean =>
  isObject(best) && isCount(best.step) && isCount(best.worse) && Number.isFinite(best.loss)

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0
