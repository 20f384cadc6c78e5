// state.json of a checkpoint: what a run goes on with beside the tensors.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { isObject, parseJson, show } from "../../model/json.ts"
import type { Settings } from "./fields.ts"
import { stepNamed } from "./names.ts"

/** What is not a tensor; JSON can hold it. */
export interface RunState {
  readonly version: 1
  /** Updates made. */
  readonly step: number
  /** Tokens whose loss has been taken. */
  readonly tokens: number
  /** The run's settings, as they were checked; spelled in the file as in a configuration. */
  readonly settings: Settings
  /** Where the data is after the last batch; null for data of the caller's own. */
  readonly data: unknown
}

/** state.json of a checkpoint. Throws Error or SyntaxError that names the file and the field. */
export async function readRunState(checkpoint: string): Promise<RunState> {
  const { readFile } = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  const path = join(checkpoint, "state.json")
  const bytes = await readFile(path).catch((error: Error) => {
    throw new Error(`Cannot open ${path}: ${faultText(error)}. Give the folder of a checkpoint`)
  })
  const state = parseJson(bytes, path)
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new SyntaxError(`${path}: ${field} is ${show(value)}, expected ${expected}`)
  }
  if (!isObject(state)) return fail("it", state, "a training state of version 1")
  const { version, step, tokens, settings, data } = state
  if (version !== 1) fail("version", version, "1")
  if (!isCount(step)) fail("step", step, "a whole number from 0")
  if (!isCount(tokens)) fail("tokens", tokens, "a whole number from 0")
  if (!isObject(settings)) return fail("settings", settings, "the settings of the run")
  // Not above: a page that loads the package has no need of what checks settings.
  const { checkWritten } = await import("./settings.ts")
  const checked = checkWritten(settings, `${path}: settings`)
  const named = stepNamed(checkpoint)
  if (named !== undefined && named !== step) fail("step", step, `${named}, as its folder is named`)
  // What the place in the data is made of, the pipeline checks: it may be of a caller's own.
  if (data === undefined || (data !== null && !isObject(data))) {
    fail("data", data, "a place in the data, or null")
  }
  return { ...state, settings: checked } as unknown as RunState
}

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0
