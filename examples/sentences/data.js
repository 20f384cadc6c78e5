// Data that teach the package's small model to answer with whole sentences: each record is a sentence of
// Jane Austen's novels and what comes after it. Instructions end anywhere, half of them within a sentence, as
// texts that were cut by their length do; of each preference the chosen answer ends with a sentence, the
// rejected one within one, a few words before that or after, so that length alone tells nothing.
// node examples/sentences/data.js [folder] [seed]
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"

const counts = { instructions: 1600, preferences: 1600 }
/** Words of a sentence that is gone on from, and of an answer. */
const asked = { least: 4, most: 40 }
const answered = { least: 8, most: 36 }
/** Words that a rejected answer is shorter or longer by, at most. */
const off = 8

/** The rule: a full stop, an exclamation mark or a question mark at the end, a quotation mark after it at
 *  most; no abbreviation. */
export const endsWhole = (text) => /[.!?]["']?$/.test(text) && !/\b(Mrs?|Dr|St)\.$/.test(text)

/** Numbers from 0 to 1, the same for the same seed.  mulberry32 */
function randomOf(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

const shuffled = (list, random) => {
  const all = [...list]
  for (let i = all.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    ;[all[i], all[other]] = [all[other], all[i]]
  }
  return all
}

/** Paragraphs of a file of the package as lists of words. */
function paragraphsOf(name) {
  const path = fileURLToPath(new URL(`../../train/text/${name}.txt.gz`, import.meta.url))
  const text = gunzipSync(readFileSync(path)).toString()
  return text.split(/\n\s*\n/).map((each) => each.trim().split(/\s+/))
}

/** Every sentence of a paragraph with the words after it, where both are long enough. */
function openingsOf(words) {
  const ends = words.flatMap((word, i) => (endsWhole(word) ? i + 1 : []))
  const openings = [0, ...ends].flatMap((start, i) => {
    const end = ends[i]
    const length = end - start
    const rest = words.slice(end)
    const isLong =
      length >= asked.least && length <= asked.most && rest.length > answered.most + off
    return isLong ? { prompt: words.slice(start, end).join(" "), rest } : []
  })
  return openings
}

const between = (least, most, random) => least + Math.floor(random() * (most - least + 1))
const isWholeAt = (rest, count) => endsWhole(rest[count - 1])
const first = (rest, count) => rest.slice(0, count).join(" ")

/** How many words give an answer that ends with a sentence; undefined where none does. */
function wholeCount(rest, random) {
  const all = rest.flatMap((_, i) => {
    const count = i + 1
    return count >= answered.least && count <= answered.most && isWholeAt(rest, count) ? count : []
  })
  return all[Math.floor(random() * all.length)]
}

function instructionOf({ prompt, rest }, random) {
  const whole = random() < 0.5 ? wholeCount(rest, random) : undefined
  const count = whole ?? between(answered.least, answered.most, random)
  const turns = { user: prompt, assistant: first(rest, count) }
  return { messages: Object.entries(turns).map(([role, content]) => ({ role, content })) }
}

/** undefined where the words have no such answers. */
function preferenceOf({ prompt, rest }, random) {
  const count = wholeCount(rest, random)
  const other = Math.max(1, count + between(1, off, random) * (random() < 0.5 ? -1 : 1))
  if (count === undefined || isWholeAt(rest, other)) return undefined
  return { prompt, chosen: first(rest, count), rejected: first(rest, other) }
}

/** The records of the three files: to be tuned on, and, out of chapters that the model has never seen, held out. */
export function sentences(seed = 1) {
  const random = randomOf(seed)
  const openings = shuffled(paragraphsOf("austen"), random).map((words) => openingsOf(words))
  // No paragraph is in two files.
  const half = openings.length / 2
  const [some, others] = [openings.slice(0, half), openings.slice(half)].map((own) => own.flat())
  const unseen = paragraphsOf("austen-validation").flatMap((words) => openingsOf(words))
  const pairs = (list) => list.flatMap((each) => preferenceOf(each, random) ?? [])
  return {
    instructions: some.slice(0, counts.instructions).map((each) => instructionOf(each, random)),
    preferences: pairs(others).slice(0, counts.preferences),
    held: pairs(unseen),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = "sentences", seed] = process.argv.slice(2)
  mkdirSync(folder, { recursive: true })
  for (const [name, records] of Object.entries(sentences(seed && Number(seed)))) {
    const lines = records.map((record) => `${JSON.stringify(record)}\n`).join("")
    writeFileSync(join(folder, `${name}.jsonl`), lines)
    console.log(`${records.length} records in ${join(folder, `${name}.jsonl`)}`)
  }
}
