// Log-probabilities of answers under the model as a run began: computed once, kept in a file beside the run,
// under what tells the model and the examples from others. With an adapter it is the same weights without it.
// The file has a line for each batch of answers: what was ended goes on after the last whole one, to the bit.
import { fromNode } from "../../engine/node.ts"
import { internals, nextTurn, writeFileWhole } from "../../model/index.ts"
import { isObject } from "../../model/json.ts"
import { type Communicator, gatherTexts } from "../parallel/communicator.ts"
import { sharedNumbers } from "../parallel/share.ts"
import type { Labelled, PreferencePair } from "../preference/batch.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { throwIfStopped } from "../run/ranks.ts"
import { trainedOf } from "../step/trained.ts"
import type { TuneSettings } from "./fields.ts"
import type { Learnt, TuningModel } from "./objective.ts"
import { atStart, identityOfStart } from "./open.ts"
import { byLength, logProbsTogether } from "./rows.ts"

const fileName = "reference.jsonl"
/** Answers out of which those of a length are computed together. */
const window = 128

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

/** From the run's file, or computed and written there, so many rows at a time. Throws the signal's reason where
 *  it ends that; what was computed is in the file. */
export async function referenceOf(
  learnt: Learnt<TuneSettings, PreferencePair>,
  rows: number,
): Promise<Reference> {
  const { settings, training, validation, identity, isResumed, ranks } = learnt
  const { backend } = learnt.model
  const path = learnt.fileOf(fileName)
  const texts = [...training, ...validation].flatMap(({ chosen, rejected }) => [chosen, rejected])
  const batches = byLength(texts, rows, window)
  // Weights that have moved do not say what they were: the run's own file does.
  const isMoved = isResumed && settings.adapter === "none"
  const base = isMoved ? undefined : await baseOf(learnt)
  const kept = keptIn(await textOfFirst(ranks, path), batches)
  const isSame = base === undefined || kept?.head.base === base
  const lines = kept?.head.examples === identity.examples && isSame ? [...kept.lines] : []
  if (lines.length < batches.length) {
    const own = base ?? (await atStart(settings, { backend, ranks }, baseFor(settings)))
    if (ranks.rank === 0) {
      await writeFileWhole(path, bytesOf({ examples: identity.examples, base: own }, ...lines))
    }
    const score = (opened: TuningModel) =>
      scored(opened, settings, rows, (sumsOf) =>
        addLines(learnt, path, { lines, batches }, (places) =>
          sumsOf(places.map((i) => texts[i] as Labelled)),
        ),
      )
    const isAsItWas = !isResumed || (settings.adapter !== "none" && settings.from === undefined)
    await (isAsItWas ? score(learnt) : atStart(settings, { backend, ranks }, score))
  }
  const sums = new Array<number>(texts.length).fill(0)
  for (const [b, places] of batches.entries()) {
    for (const [n, i] of places.entries()) sums[i] = lines[b]?.[n] as number
  }
  return { sums, about: `log-probabilities of the reference are kept in ${path}` }
}

/** Computes the lines of the batches that have none, as many at a time as there are ranks. */
async function addLines(
  { ranks, signal, onProgress }: Learnt<TuneSettings, PreferencePair>,
  path: string,
  { lines, batches }: { readonly lines: (readonly number[])[]; readonly batches: number[][] },
  lineOf: (places: readonly number[]) => Promise<readonly number[]>,
): Promise<void> {
  while (lines.length < batches.length) {
    await throwIfStopped(ranks, signal)
    const some = batches.slice(lines.length, lines.length + ranks.size)
    const width = Math.max(...some.map(({ length }) => length))
    const work = { count: some.length, width, idle: () => lineOf([]) }
    const found = await sharedNumbers(ranks, work, (n) => lineOf(some[n] as number[]))
    if (ranks.rank === 0) await fromNode("node:fs/promises").appendFile(path, bytesOf(...found))
    lines.push(...found)
    onProgress("reference", lines.length / batches.length)
    // Lets signals be heard.
    await nextTurn()
  }
}

/** What the first rank finds in a file; "" where it is not there. */
async function textOfFirst(ranks: Communicator, path: string): Promise<string> {
  const own = ranks.rank === 0 ? fromNode("node:fs/promises").readFile(path, "utf8") : ""
  const [text = ""] = await gatherTexts(ranks, await Promise.resolve(own).catch(() => ""))
  return text
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
function keptIn(text: string, batches: readonly (readonly number[])[]) {
  try {
    const [head, ...lines] = text
      .split("\n")
      .slice(0, -1)
      .map((line): unknown => JSON.parse(line))
    if (!isHead(head) || !lines.every(isLine)) return undefined
    const isOf = (line: readonly number[], b: number) => line.length === batches[b]?.length
    return lines.every(isOf) ? { head, lines } : undefined
  } catch {
    return undefined
  }
}

const isHead = (json: unknown): json is Head =>
  isObject(json) && typeof json.examples === "string" && typeof json.base === "string"

const isLine = (json: unknown): json is readonly number[] =>
  Array.isArray(json) && json.every((sum) => Number.isFinite(sum))

/** What `work` does with the sums of up to so many texts. */
async function scored(
  { model, adapter }: TuningModel,
  { from }: TuneSettings,
  rows: number,
  work: (sumsOf: (texts: readonly Labelled[]) => Promise<readonly number[]>) => Promise<void>,
): Promise<void> {
  // An adapter that begins with nothing is left out.
  const decoder = from === undefined ? internals(model).decoder : trainedOf(model, adapter).decoder
  const scorer = new ReferenceScorer(model, decoder)
  try {
    await work((texts) =>
      internals(model).reading(() => logProbsTogether(scorer, model, texts, rows)),
    )
  } finally {
    scorer.close()
  }
}
