// The log of an evaluation in a folder: samples_TASK.jsonl, a line for each document as it is answered, so
// that what was killed goes on where it was, and what several machines did is put together.
import { fromNode } from "../engine/node.ts"
import { cannot, contentOf, openFile, writeAtomically, writeFileWhole } from "../model/index.ts"
import { isObject, type Json, parseJson, show } from "../model/json.ts"
import type { Sample } from "./scoring.ts"

/** Of several machines, by their numbers from 0 on. */
export interface Shard {
  readonly index: number
  readonly of: number
}

export interface EvaluationLog {
  /** What the files of a task have, those of other machines too. Throws SyntaxError that names file and
   *  line where one is damaged; a last line that was not finished is none. */
  previous(task: string): AsyncIterable<Sample>
  append(task: string, sample: Sample): void
  /** Notes by what model the rest is going to be answered. Throws RangeError where that before was another. */
  begin(model: Readonly<Record<string, unknown>>): Promise<void>
  close(): void
}

/** Of what is noted of a model. */
const mostOfModel = 1 << 16
/** What is read at a time of a log's end; logs of hellaswag with examples have 200 MB. */
const tailBytes = 1 << 16

/** Names in file names: those of tasks of one's own may have anything, and no two have one file. */
const fileName = (task: string): string =>
  task.replace(/[^\w.-]/gu, (letter) => encodeURIComponent(letter))
const escaped = (text: string): string => text.replace(/[.]/g, "\\.")

const nameOf = (task: string, shard: Shard | undefined): string =>
  `samples_${fileName(task)}${shard ? `.${shard.index + 1}of${shard.of}` : ""}.jsonl`

/** The files of a task in a folder, whoever wrote them. */
export async function sampleFiles(folder: string, task: string): Promise<readonly string[]> {
  const { join } = fromNode("node:path")
  const pattern = new RegExp(`^samples_${escaped(fileName(task))}(\\.\\d+of\\d+)?\\.jsonl$`)
  const names = await fromNode("node:fs/promises")
    .readdir(folder)
    .catch((error: Error) => {
      throw cannot("open", folder, error)
    })
  return names
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name))
}

/** Opens a folder, which is made where there is none. Throws RangeError where it has a log already, unless
 *  that is to be gone on with. */
export async function openLog(
  folder: string,
  { shard, resume }: { readonly shard?: Shard | undefined; readonly resume: boolean },
): Promise<EvaluationLog> {
  const { appendFileSync, closeSync, mkdirSync, openSync, readdirSync } = fromNode("node:fs")
  const { join } = fromNode("node:path")
  mkdirSync(folder, { recursive: true })
  const first = readdirSync(folder).find((name) => /^samples_.*\.jsonl$/.test(name))
  if (first !== undefined && !resume) {
    throw new RangeError(
      `${folder} has the log of an evaluation, ${first}: resume it, or give another`,
    )
  }
  const open = new Map<string, number>()
  const fileOf = (task: string): number => {
    const path = join(folder, nameOf(task, shard))
    const file = open.get(task) ?? openSync(cutToLines(path), "a")
    open.set(task, file)
    return file
  }
  return {
    async *previous(task) {
      for (const file of await sampleFiles(folder, task)) yield* samplesIn(file)
    },
    append(task, sample) {
      appendFileSync(fileOf(task), `${JSON.stringify(sample)}\n`)
    },
    begin: (model) => checkModel(join(folder, "evaluation.json"), model),
    close() {
      for (const file of open.values()) closeSync(file)
      open.clear()
    },
  }
}

/** Puts what several processes wrote of a task into one file, as one process would have written it. What is killed
 *  meanwhile leaves documents twice, of which one is taken. */
export async function joinLogs(folder: string, task: string): Promise<void> {
  const all = await sampleFiles(folder, task)
  const path = fromNode("node:path").join(folder, nameOf(task, undefined))
  const others = all.filter((file) => file !== path)
  if (others.length === 0) return
  const lines = new Map<number, string[]>()
  for (const file of all) {
    const own = new Map<number, string[]>()
    for await (const sample of samplesIn(file)) {
      // One for each filter.
      const before = own.get(sample.doc_id) ?? []
      own.set(sample.doc_id, [...before, `${JSON.stringify(sample)}\n`])
    }
    for (const [id, each] of own) if (!lines.has(id)) lines.set(id, each)
  }
  const ids = [...lines.keys()].sort((a, b) => a - b)
  await writeAtomically(path, async (file) => {
    for (const id of ids) {
      await file.writeFile(new TextEncoder().encode(lines.get(id)?.join("")))
    }
  })
  for (const file of others) await fromNode("node:fs/promises").rm(file)
}

/** Whole or not at all: what was killed while it was written does not keep the rest from going on. */
async function checkModel(path: string, model: Readonly<Record<string, unknown>>): Promise<void> {
  if (!fromNode("node:fs").existsSync(path)) {
    await writeFileWhole(path, new TextEncoder().encode(`${JSON.stringify(model)}\n`))
    return
  }
  const before = parseJson(await contentOf(await openFile(path), mostOfModel), path) as Json
  for (const [field, value] of Object.entries(model)) {
    if (before[field] === value) continue
    const { dirname } = fromNode("node:path")
    const was = `${dirname(path)} was begun with ${field} ${show(before[field])}`
    throw new RangeError(`${was}, not ${show(value)}. Give another folder, or the same model`)
  }
}

/** Takes what follows the last end of a line from a file: whoever wrote it was killed meanwhile. */
function cutToLines(path: string): string {
  const { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync } =
    fromNode("node:fs")
  if (!existsSync(path)) return path
  const file = openSync(path, "r+")
  try {
    const { size } = fstatSync(file)
    const bytes = new Uint8Array(tailBytes)
    let end = size
    for (let from = size; from > 0 && end === from; ) {
      const to = from
      from = Math.max(0, to - tailBytes)
      const read = bytes.subarray(0, readSync(file, bytes, 0, to - from, from))
      end = from + read.lastIndexOf("\n".charCodeAt(0)) + 1
    }
    if (end < size) ftruncateSync(file, end)
  } finally {
    closeSync(file)
  }
  return path
}

/** The lines of a file. */
export async function* samplesIn(path: string): AsyncGenerator<Sample> {
  const { createReadStream } = fromNode("node:fs")
  let rest = ""
  let number = 0
  const decoder = new TextDecoder()
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n")
    rest = lines.pop() as string
    for (const line of lines) {
      number++
      if (line.trim() !== "") yield sampleOf(line, `${path} line ${number}`)
    }
  }
}

function sampleOf(line: string, at: string): Sample {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new SyntaxError(`${at} is not JSON. Remove it, and what it says is asked again`, {
      cause: error,
    })
  }
  const isSample =
    isObject(value) &&
    Number.isInteger(value.doc_id) &&
    Array.isArray(value.arguments) &&
    Array.isArray(value.resps)
  if (isSample) return value as unknown as Sample
  throw new TypeError(`${at} is ${show(value)}, expected doc_id, arguments and resps`)
}
