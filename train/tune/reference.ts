// Log-probabilities of answers under the model as a run began: computed once, kept in a file beside the run,
// under what tells the model and the examples from others. With an adapter it is the same weights without it.
import { fromNode } from "../../engine/node.ts"
import { internals, writeFileWhole } from "../../model/index.ts"
import { isObject, parseJson } from "../../model/json.ts"
import type { Labelled, PreferencePair } from "../preference/batch.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { trainedOf } from "../step/trained.ts"
import type { TuneSettings } from "./fields.ts"
import type { Learnt, Opened } from "./objective.ts"
import { atStart, identityOfStart } from "./open.ts"
import { logProbsOf } from "./rows.ts"

const fileName = "reference.json"

interface Reference {
  /** Of the chosen and the rejected answer of each pair in turns: those trained on, then the others. */
  readonly sums: readonly number[]
  /** Where they came from. */
  readonly about: string
}

/** What the file holds. */
interface Kept {
  readonly examples: string
  readonly base: string
  readonly sums: readonly number[]
}

/** From the run's file, or computed and written there, so many rows at a time. */
export async function referenceOf(
  learnt: Learnt<TuneSettings, PreferencePair>,
  rows: number,
): Promise<Reference> {
  const { settings, training, validation, identity, isResumed } = learnt
  const path = learnt.fileOf(fileName)
  const texts = [...training, ...validation].flatMap(({ chosen, rejected }) => [chosen, rejected])
  // Weights that have moved do not say what they were: the run's own file does.
  const isMoved = isResumed && settings.adapter === "none"
  const base = isMoved ? undefined : await baseOf(learnt)
  const kept = await readKept(path)
  const isSame = base === undefined || kept?.base === base
  if (kept?.examples === identity.examples && isSame && kept.sums.length === texts.length) {
    return { sums: kept.sums, about: `log-probabilities of the reference from ${path}` }
  }
  const score = (opened: Opened) => scored(opened, settings, texts, rows, learnt.onProgress)
  const isAsItWas = !isResumed || (settings.adapter !== "none" && settings.from === undefined)
  const sums = isAsItWas
    ? await score(learnt)
    : await atStart(settings, learnt.model.backend, score)
  const own = base ?? (await atStart(settings, learnt.model.backend, baseFor(settings)))
  const file: Kept = { examples: identity.examples, base: own, sums }
  await writeFileWhole(path, new TextEncoder().encode(`${JSON.stringify(file)}\n`))
  return { sums, about: `log-probabilities of the reference are kept in ${path}` }
}

/** What tells the model as the run began, and the adapter that it began with, from others. */
async function baseOf(learnt: Learnt<TuneSettings, PreferencePair>): Promise<string> {
  const { settings, identity } = learnt
  const base = identity.base || (await identityOfStart(learnt, settings))
  return settings.from === undefined ? base : `${base} ${await hashOfFolder(settings.from)}`
}

const baseFor =
  (settings: TuneSettings) =>
  (opened: Opened): Promise<string> =>
    identityOfStart(opened, settings)

/** What an adapter's folder holds, in a few letters. */
async function hashOfFolder(folder: string): Promise<string> {
  const { readdir, readFile } = fromNode("node:fs/promises")
  const hash = fromNode("node:crypto").createHash("sha256")
  for (const name of (await readdir(folder)).sort()) {
    if (!name.startsWith("adapter_")) continue
    hash.update(name).update(await readFile(fromNode("node:path").join(folder, name)))
  }
  return hash.digest("hex").slice(0, 16)
}

/** A file that is none of this kind is as if it were not there: it is written again. */
async function readKept(path: string): Promise<Kept | undefined> {
  const bytes = await fromNode("node:fs/promises")
    .readFile(path)
    .catch(() => undefined)
  if (!bytes) return undefined
  try {
    const json = parseJson(bytes, path)
    return isKept(json) ? json : undefined
  } catch {
    return undefined
  }
}

const isKept = (json: unknown): json is Kept =>
  isObject(json) &&
  typeof json.examples === "string" &&
  typeof json.base === "string" &&
  Array.isArray(json.sums) &&
  json.sums.every((sum) => Number.isFinite(sum))

async function scored(
  { model, adapter }: Opened,
  { from }: TuneSettings,
  texts: readonly Labelled[],
  rows: number,
  onProgress: (what: string, part?: number) => void,
): Promise<number[]> {
  // An adapter that begins with nothing is left out.
  const decoder = from === undefined ? internals(model).decoder : trainedOf(model, adapter).decoder
  const scorer = new ReferenceScorer(decoder, model.backend)
  try {
    return await internals(model).reading(() =>
      logProbsOf(scorer, model, texts, rows, (part) => onProgress("reference", part)),
    )
  } finally {
    scorer.close()
  }
}
