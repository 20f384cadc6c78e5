// Log-probabilities of answers under the model as a run began: computed once, kept in a file beside the run,
// under what tells the model and the examples from others. With an adapter it is the same weights without it.
// The file has a line for some pairs at a time: what was ended goes on after the last whole one, to the bit.
import { fromNode } from "../../engine/node.ts"
import { internals, nextTurn, writeFileWhole } from "../../model/index.ts"
import { isObject } from "../../model/json.ts"
import type { Labelled, PreferencePair } from "../preference/batch.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { trainedOf } from "../step/trained.ts"
import type { TuneSettings } from "./fields.ts"
import type { Learnt, TuningModel } from "./objective.ts"
import { atStart, identityOfStart } from "./open.ts"
import { logProbsOf } from "./rows.ts"

const fileName = "reference.jsonl"
/** Answers of a line, which are computed by themselves. */
const inLine = 128

interface Reference {
  /** Of the chosen and the rejected answer of each pair in turns: those trained on, then the others. */
  readonly sums: readonly number[]
  /** Where they came from. */
  readonly about: string
}

/** The first line of the file. */
interface Head {
  readonly examples: string
  readonly base: string
}

/** From the run's file, or computed and written there, so many rows at a time. */
export async function referenceOf(
  learnt: Learnt<TuneSettings, PreferencePair>,
  rows: number,
): Promise<Reference> {
  const { settings, training, validation, identity, isResumed, onProgress } = learnt
  const { backend } = learnt.model
  const path = learnt.fileOf(fileName)
  const texts = [...training, ...validation].flatMap(({ chosen, rejected }) => [chosen, rejected])
  // Weights that have moved do not say what they were: the run's own file does.
  const isMoved = isResumed && settings.adapter === "none"
  const base = isMoved ? undefined : await baseOf(learnt)
  const kept = await readKept(path, texts.length)
  const isSame = base === undefined || kept?.head.base === base
  const sums = kept?.head.examples === identity.examples && isSame ? [...kept.sums] : []
  const about = `log-probabilities of the reference are kept in ${path}`
  if (sums.length === texts.length) return { sums, about }
  const own = base ?? (await atStart(settings, backend, baseFor(settings)))
  const lines = Array.from({ length: Math.ceil(sums.length / inLine) }, (_, i) =>
    sums.slice(i * inLine, (i + 1) * inLine),
  )
  await writeFileWhole(path, bytesOf({ examples: identity.examples, base: own }, ...lines))
  const score = (opened: TuningModel) =>
    scored(opened, settings, texts.slice(sums.length), rows, async (found) => {
      await fromNode("node:fs/promises").appendFile(path, bytesOf(found))
      sums.push(...found)
      onProgress("reference", sums.length / texts.length)
    })
  const isAsItWas = !isResumed || (settings.adapter !== "none" && settings.from === undefined)
  await (isAsItWas ? score(learnt) : atStart(settings, backend, score))
  return { sums, about }
}

const bytesOf = (...lines: readonly unknown[]): Uint8Array =>
  new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))

/** What tells the model as the run began, and the adapter that it began with, from others. */
async function baseOf(learnt: Learnt<TuneSettings, PreferencePair>): Promise<string> {
  const { settings, identity } = learnt
  const base = identity.base || (await identityOfStart(learnt, settings))
  return settings.from === undefined ? base : `${base} ${await hashOfFolder(settings.from)}`
}

const baseFor =
  (settings: TuneSettings) =>
  (opened: TuningModel): Promise<string> =>
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

/** What a file has in whole lines; one that is none of this kind is as if it were not there. */
async function readKept(path: string, count: number) {
  const text = await fromNode("node:fs/promises")
    .readFile(path, "utf8")
    .catch(() => "")
  try {
    const [head, ...lines] = text
      .split("\n")
      .slice(0, -1)
      .map((line): unknown => JSON.parse(line))
    if (!isHead(head) || !lines.every(isLine)) return undefined
    const isFull = (line: readonly number[], i: number): boolean =>
      line.length === Math.min(inLine, count - i * inLine)
    return lines.every(isFull) ? { head, sums: lines.flat() } : undefined
  } catch {
    return undefined
  }
}

const isHead = (json: unknown): json is Head =>
  isObject(json) && typeof json.examples === "string" && typeof json.base === "string"

const isLine = (json: unknown): json is readonly number[] =>
  Array.isArray(json) && json.every((sum) => Number.isFinite(sum))

/** Hands over the sums of texts, a line at a time. */
async function scored(
  { model, adapter }: TuningModel,
  { from }: TuneSettings,
  texts: readonly Labelled[],
  rows: number,
  onLine: (sums: readonly number[]) => Promise<void>,
): Promise<void> {
  // An adapter that begins with nothing is left out.
  const decoder = from === undefined ? internals(model).decoder : trainedOf(model, adapter).decoder
  const scorer = new ReferenceScorer(decoder, model.backend)
  try {
    for (let at = 0; at < texts.length; at += inLine) {
      const some = texts.slice(at, at + inLine)
      await onLine(await internals(model).reading(() => logProbsOf(scorer, model, some, rows)))
      // Lets signals be heard.
      await nextTurn()
    }
  } finally {
    scorer.close()
  }
}
