// The check of a pipeline's state, which comes from a file: every field, before anything goes on with
// it, so that a place that cannot be is an error and not a beginning, or a search without an end.
import { isObject, show } from "../../model/json.ts"
import type { PipelineParts, PipelineState } from "./pipeline.ts"

/** Throws TypeError or RangeError that names the field where `state` is not one of a pipeline with
 *  these settings. */
export function checkState(state: PipelineState, settings: string, parts: PipelineParts): void {
  const { config, workers, stateName: name } = parts
  const count = Math.max(1, workers)
  if (!isObject(state) || state.version !== 1 || typeof state.settings !== "string") {
    throw new TypeError(`${name} is ${show(state)}, expected what a pipeline's state() returned`)
  }
  if (state.settings !== settings) throw changed(name, state.settings, settings)
  whole(`${name}: turn`, state.turn, count - 1)
  whole(`${name}: taken`, state.taken, config.interleave)
  if (!Array.isArray(state.places) || state.places.length !== count) {
    fail(`${name}: places`, state.places, `a place for each of ${count} workers`)
  }
  for (const [i, place] of state.places.entries()) {
    if (place !== null) checkPlace(`${name}: places[${i}]`, place, parts)
  }
}

function changed(name: string, before: string, now: string): Error {
  const [was, is] = [before, now].map((text) => text.split("; ")) as [string[], string[]]
  const at = is.findIndex((text, i) => text !== was[i])
  return new RangeError(
    `${name} is of another pipeline: ${was[at]}, now ${is[at]}. ` +
      "Go on with the same data and settings, or start without a state",
  )
}

/** Files of all epochs before a place: its order is found by shuffling those of each. */
const mostShuffled = 1 << 26

function checkPlace(name: string, place: unknown, parts: PipelineParts): void {
  const { config, workers } = parts
  const files = parts.files.length * Math.max(1, workers)
  if (!isObject(place) || !isObject(place.position)) {
    fail(name, place, "a place with a position")
    return
  }
  const { position, skipped } = place
  for (const field of ["epoch", "file", "record", "piece", "run"] as const) {
    const epochs = Math.floor(mostShuffled / Math.max(1, files))
    const most = field === "epoch" ? epochs : field === "file" ? files : undefined
    whole(`${name}.position.${field}`, position[field], most)
  }
  whole(`${name}.skipped`, skipped)
  if (!config.pack) return
  whole(`${name}.offset`, place.offset)
  whole(`${name}.block`, place.block)
  whole(`${name}.taken`, place.taken, config.shuffleWindows)
}

function whole(name: string, value: unknown, most = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most) return
  fail(name, value, `a whole number from 0${most < 2 ** 53 - 1 ? ` to ${most}` : ""}`)
}

function fail(name: string, value: unknown, expected: string): never {
  throw new RangeError(`${name} is ${show(value)}, expected ${expected}`)
}
